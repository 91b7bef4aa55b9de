"""A case report as PDF, by reportlab, with the service's own font in it. Import it when first needed."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from html import escape
from io import BytesIO
from typing import Any, Final

from reportlab.lib.colors import HexColor, black
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.platypus import Flowable, Image, KeepTogether, Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

from app.reports import page as content
from app.reports.page import Card, CasePage, Pairs, Picture, Section

FONT: Final = "LungscopeSans"
MARGIN: Final = 13 * mm
INSET: Final = 6.0  # of what flows, within the margins: reportlab's own
WIDTH: Final = A4[0] - 2 * (MARGIN + INSET)
HEADER: Final = 8 * mm  # of every page
ANATOMY: Final = 74 * mm  # width of a slice
PAIR: Final = 92 * mm  # width of two scans side by side
TILES: Final = 123 * mm  # width of the row of tiles: with these two cards stand on a page
NAMES: Final = 31 * mm  # width of the names of pairs beside a slice
GAP: Final = 3 * mm
PADDING: Final = GAP + 1  # of a cell, and what rounding may take
GREY, LINE = HexColor(0x555555), HexColor(0xBBBBBB)
FIRST_CHINESE: Final = "\u2e80"  # no space tells words apart from here on
WORD: Final = re.compile(r"[\u2e80-\uffff]|[^\s\u2e80-\uffff]+")
UNKNOWN: Final = "?"  # for a character of others that the font has not


def write_pdf(page: CasePage, font: bytes) -> bytes:
    """The whole file; the same page gives the same bytes. `font` is a TrueType file with the characters of all own
    words."""
    if FONT not in pdfmetrics.getRegisteredFontNames():
        pdfmetrics.registerFont(TTFont(FONT, BytesIO(font)))
    writer = _Writer(page)
    out = BytesIO()
    document = SimpleDocTemplate(
        out,
        pagesize=A4,
        leftMargin=MARGIN,
        rightMargin=MARGIN,
        topMargin=MARGIN + HEADER,
        bottomMargin=MARGIN,
        title=writer.legible(page.title),
        author="Lungscope",
        lang="zh-CN" if page.language == "zh" else "en",
        invariant=True,
    )
    document.build(writer.flow(), onFirstPage=writer.draw_frame, onLaterPages=writer.draw_frame)
    return out.getvalue()


class _Writer:
    """Turns a page's texts and pictures into reportlab's paragraphs, tables and images."""

    def __init__(self, page: CasePage) -> None:
        self._page = page
        self._known = pdfmetrics.getFont(FONT).face.charToGlyph
        style = partial(ParagraphStyle, fontName=FONT)
        self._text = style("text", fontSize=9, leading=12.5)
        self._faint = style("faint", fontSize=9, leading=12.5, textColor=GREY)
        self._small = style("small", fontSize=7.5, leading=10)
        self._small_faint = style("small faint", fontSize=7.5, leading=10, textColor=GREY)
        self._heading = style("heading", fontSize=11.5, leading=15, spaceBefore=9, spaceAfter=3)
        self._title = style("title", fontSize=13, leading=17)
        self._decision = style("decision", fontSize=15, leading=19)
        self._leading = style("leading", fontSize=32, leading=36)
        self._own = style("own", fontSize=24, leading=27)

    def legible(self, text: str) -> str:
        """With a mark for each character that the font lacks: it would be left out without a word."""
        return "".join(sign if ord(sign) in self._known else UNKNOWN for sign in text)

    def flow(self) -> list[Flowable]:
        """Everything from top to bottom."""
        page = self._page
        flow: list[Flowable] = [self._say(page.title, self._title), self._say(page.case, self._faint)]
        flow += [Spacer(0, GAP), self._head(), Spacer(0, GAP)]
        flow += [self._say(sentence, self._text) for sentence in page.sentences]
        flow += [each for section in page.first for each in self._section(section)]
        flow += [self._card(card) for card in page.cards]
        return flow + [each for section in page.last for each in self._section(section)]

    def draw_frame(self, canvas: Any, document: Any) -> None:
        """What stands on every page: what it is not, and its number."""
        canvas.saveState()
        canvas.setFont(FONT, 8.5)
        top = A4[1] - MARGIN
        left, right = MARGIN + INSET, A4[0] - MARGIN - INSET
        canvas.drawString(left, top, self.legible(self._page.disclaimer))
        canvas.drawRightString(right, top, self.legible(self._page.page.format(number=document.page)))
        canvas.setStrokeColor(LINE)
        canvas.line(left, top - 4, right, top - 4)
        canvas.restoreState()

    def _say(self, text: str, style: ParagraphStyle) -> Paragraph:
        if any(sign >= FIRST_CHINESE for sign in text):
            style = ParagraphStyle(f"{style.name} zh", style, wordWrap="CJK")
        return Paragraph(escape(self.legible(text)), style)

    def _head(self) -> Flowable:
        """The most suspicious finding's probability in the largest type, the decision beside it."""
        page, decision = self._page, self._say(self._page.decision, self._decision)
        if not page.leading:
            return decision
        own = [self._say(page.leading, self._leading), self._say(page.leading_caption, self._small_faint)]
        return _grid([[own, decision]], [62 * mm, WIDTH - 62 * mm], valign="MIDDLE")

    def _section(self, section: Section) -> list[Flowable]:
        body: list[Flowable] = [self._pairs(section.pairs, WIDTH, 45 * mm)] if section.pairs else []
        if section.table is not None:
            body.append(self._table(section.table))
        for sentence in section.sentences:
            body += [Spacer(0, 2), self._say(sentence, self._small)]
        first, rest = body[:1], body[1:]
        return [KeepTogether([self._say(section.heading, self._heading), *first]), *rest]

    def _card(self, card: Card) -> Flowable:
        """The slice, beside it what was measured, below both the tiles: on one page."""
        beside: list[Flowable] = []
        if card.probability:
            beside += [self._say(card.probability, self._own), self._say(card.caption, self._small_faint)]
        anatomy = ANATOMY if card.table is None else PAIR
        room = WIDTH - anatomy - GAP
        beside += [Spacer(0, 2), self._pairs(card.pairs, room, NAMES)]
        if card.table is not None:
            beside += [Spacer(0, 4), self._table(card.table, room)]
        parts: list[Flowable] = [
            self._say(card.heading, self._heading),
            _grid([[_image(card.anatomy, anatomy), beside]], [anatomy + GAP, room]),
        ]
        if card.tiles is not None:
            parts.append(_image(card.tiles, TILES))
        return KeepTogether(parts)

    def _pairs(self, pairs: Pairs, width: float, names: float) -> Flowable:
        rows = [[self._say(name, self._small_faint), self._say(value, self._small)] for name, value in pairs]
        return _grid(rows, [names, width - names], lines=True) if rows else Spacer(0, 0)

    def _table(self, table: content.Table, width: float = WIDTH) -> Flowable:
        heads = [self._say(head, self._small_faint) for head in table.heads]
        styles = [self._small_faint if n in table.faint else self._small for n in range(len(table.rows))]
        rows = [[self._say(cell, style) for cell in row] for row, style in zip(table.rows, styles, strict=True)]
        return _grid([heads, *rows], _widths(table, self._measure, width), lines=True, repeat_rows=1)

    def _measure(self, text: str) -> float:
        return float(pdfmetrics.stringWidth(self.legible(text), FONT, self._small.fontSize))


def _widths(table: content.Table, measure: Callable[[str], float], whole: float) -> list[float]:
    """Of the columns, the table as wide as its place: each holds its longest word, and what is left goes to those whose
    texts are longer."""
    columns = list(zip(table.heads, *table.rows, strict=True))
    words = [[*head.split(), *(word for text in texts for word in WORD.findall(text))] for head, *texts in columns]
    least = [max(map(measure, each), default=0.0) for each in words]
    wished = [max(map(measure, column)) for column in columns]
    room = whole - sum(least) - len(columns) * PADDING
    more = [max(wish - width, 1.0) for wish, width in zip(wished, least, strict=True)]
    widths = [width + PADDING + room * each / sum(more) for width, each in zip(least, more, strict=True)]
    return [whole * max(width, PADDING) / sum(max(width, PADDING) for width in widths) for width in widths]


def _grid(
    rows: Sequence[Sequence[Any]],
    widths: Sequence[float],
    *,
    lines: bool = False,
    repeat_rows: int = 0,
    valign: str = "TOP",
) -> Table:
    grid = Table([list(row) for row in rows], colWidths=list(widths), repeatRows=repeat_rows, hAlign="LEFT")
    style: list[tuple[Any, ...]] = [
        ("VALIGN", (0, 0), (-1, -1), valign),
        ("LEFTPADDING", (0, 0), (-1, -1), 0),
        ("RIGHTPADDING", (0, 0), (-1, -1), GAP),
        ("TOPPADDING", (0, 0), (-1, -1), 1.5),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 2.5),
    ]
    if lines:
        style.append(("LINEBELOW", (0, 0), (-1, -1), 0.3, LINE))
    if repeat_rows:
        style.append(("LINEBELOW", (0, 0), (-1, repeat_rows - 1), 0.8, black))
    grid.setStyle(TableStyle(style))
    return grid


def _image(picture: Picture, width: float) -> Image:
    image = Image(BytesIO(picture.png), hAlign="LEFT")
    image.drawHeight, image.drawWidth = width * image.imageHeight / image.imageWidth, width
    return image
