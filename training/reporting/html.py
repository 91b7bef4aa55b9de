"""Pieces of self-contained pages: no script, no address, pictures inside. Text is escaped where it is put in."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape

from app.inference.bundle import Interval

DISCLAIMER = "Research use only. Not a medical device."
Rows = Iterable[Sequence[str]]
STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:1300px;margin:2rem auto;padding:0 1rem;color:#1c2733}
h1{margin-bottom:.2rem} h2{margin-top:2.2rem;border-bottom:1px solid #d5dbe1}
.grid{display:grid;grid-template-columns:repeat(2,1fr);gap:1rem} figure{margin:0} figure img{max-width:100%}
figcaption{font-size:13px;color:#43525f} .cases{display:grid;grid-template-columns:repeat(4,1fr);gap:1rem}
.cases img{width:100%} table{border-collapse:collapse;font-size:13px;width:100%} .wide{overflow-x:auto}
td,th{padding:.25rem .5rem;border-bottom:1px solid #e3e8ec;text-align:left;vertical-align:top}
.yes{color:#2b6d1f} .no{color:#a02b20} .warning{background:#fff4e0;padding:.6rem 1rem;border-left:4px solid #c46a1b}
.small td,.small th{font-size:12px;padding:.2rem .3rem} .small td:nth-child(n+4){white-space:nowrap}
"""


def page(title: str, parts: Iterable[str]) -> str:
    """A whole page of HTML parts."""
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>\n'


def section(title: str, body: str) -> str:
    """A heading and what stands under it."""
    return f"<h2>{escape(title)}</h2>{body}"


def image(png: bytes, title: str) -> str:
    """A PNG inside the page."""
    return f'<img alt="{escape(title)}" src="data:image/png;base64,{base64.b64encode(png).decode("ascii")}">'


def value(figure: Interval, digits: int = 3) -> str:
    """A figure and its interval."""
    return f"{figure.value:.{digits}f} [{figure.low:.{digits}f}, {figure.high:.{digits}f}]"


def short(figure: Interval) -> str:
    """The same in a narrow cell."""
    return f"{figure.value:.2f}<br><small>{figure.low:.2f}&hairsp;–&hairsp;{figure.high:.2f}</small>"


def table(heads: Sequence[str], rows: Rows, kind: str = "") -> str:
    """Cells are HTML: whoever fills them has escaped them."""
    top = "".join(f"<th>{escape(head)}</th>" for head in heads)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f'<table class="{kind}"><tr>{top}</tr>{body}</table>'
