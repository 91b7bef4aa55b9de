"""A case report as one HTML file that loads nothing: its pictures are in it."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from html import escape
from typing import Final

from app.reports.page import Card, CasePage, Pairs, Picture, Section, Table

# What it may do where it is shown (Content Security Policy Level 3): nothing but its own style and pictures.
POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
STYLE: Final = """
body{font:15px/1.45 system-ui,"Noto Sans SC","Microsoft YaHei","PingFang SC",sans-serif;color:#111;background:#fff;
margin:0 auto;max-width:62rem;padding:1rem 1.5rem}
h1{font-size:1.25rem;margin:0}h2{font-size:1.1rem;margin:1.6rem 0 .4rem;border-bottom:1px solid #999}
.limits{font-weight:600;border:1px solid #111;padding:.3rem .6rem;margin:.6rem 0}
.case{color:#444;margin:.2rem 0}
.head{display:flex;gap:1.2rem;align-items:baseline;flex-wrap:wrap;margin:.8rem 0 .3rem}
.leading{font-size:3rem;line-height:1.1}.leading small{display:block;font-size:.85rem;color:#444}
.decision{font-size:1.5rem}
table{border-collapse:collapse;font-size:.87rem;width:100%}th,td{text-align:left;vertical-align:top;
padding:.2rem .5rem .2rem 0;border-bottom:1px solid #ddd}th{font-weight:600}
tr.faint td{color:#666}
.pairs th{width:11rem;font-weight:400;color:#444}
.card{break-inside:avoid;display:grid;grid-template-columns:minmax(0,1fr) minmax(0,1fr);gap:0 1.2rem;margin-top:1rem}
.card h2,.card .tiles{grid-column:1/-1}.card img{width:100%;display:block;background:#000}
.own{font-size:2.4rem;line-height:1.1}.own small{font-size:.85rem;color:#444;margin-left:.5rem}
footer{border-top:1px solid #999;margin-top:1.5rem;padding-top:.4rem}
@media screen{section{overflow-x:auto}}
@media (max-width:40rem){.card{grid-template-columns:1fr}}
@page{size:A4;margin:14mm}
"""


def write_html(page: CasePage) -> bytes:
    """The whole file, in UTF-8."""
    parts = [
        f'<!DOCTYPE html><html lang="{"zh-CN" if page.language == "zh" else "en"}"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        f"<title>{escape(page.title)}</title><style>{STYLE}</style></head><body><header>",
        f'<h1>{escape(page.title)}</h1><p class="case">{escape(page.case)}</p>',
        f'<p class="limits">{escape(page.disclaimer)}</p></header><main>',
        _head(page),
        *(f"<p>{escape(sentence)}</p>" for sentence in page.sentences),
        *map(_section, page.first),
        *map(_card, page.cards),
        *map(_section, page.last),
        f"</main><footer>{escape(page.disclaimer)}</footer></body></html>",
    ]
    return "\n".join(parts).encode()


def _head(page: CasePage) -> str:
    decision = f'<div class="decision">{escape(page.decision)}</div>'
    if not page.leading:
        return f'<div class="head">{decision}</div>'
    caption = f"<small>{escape(page.leading_caption)}</small>"
    return f'<div class="head"><div class="leading">{escape(page.leading)}{caption}</div>{decision}</div>'


def _section(section: Section) -> str:
    parts = [f"<section><h2>{escape(section.heading)}</h2>", _pairs(section.pairs)]
    if section.table is not None:
        parts.append(_table(section.table))
    return "".join([*parts, *(f"<p>{escape(sentence)}</p>" for sentence in section.sentences), "</section>"])


def _card(card: Card) -> str:
    own = f'<div class="own">{escape(card.probability)}<small>{escape(card.caption)}</small></div>'
    tiles = "" if card.tiles is None else f'<div class="tiles">{_image(card.tiles)}</div>'
    table = "" if card.table is None else _table(card.table)
    return (
        f'<section class="card"><h2>{escape(card.heading)}</h2><div>{_image(card.anatomy)}</div>'
        f"<div>{own if card.probability else ''}{_pairs(card.pairs)}{table}</div>{tiles}</section>"
    )


def _image(picture: Picture) -> str:
    data = base64.b64encode(picture.png).decode()
    return f'<img alt="{escape(picture.words)}" src="data:image/png;base64,{data}">'


def _pairs(pairs: Pairs) -> str:
    if not pairs:
        return ""
    rows = (f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>' for name, value in pairs)
    return f'<table class="pairs">{"".join(rows)}</table>'


def _table(table: Table) -> str:
    heads = "".join(f'<th scope="col">{escape(head)}</th>' for head in table.heads)
    rows = (f"<tr{' class=faint' if n in table.faint else ''}>{_cells(row)}</tr>" for n, row in enumerate(table.rows))
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _cells(row: Iterable[str]) -> str:
    return "".join(f"<td>{escape(cell)}</td>" for cell in row)
