"""Cuts the font that pictures and case reports carry to the characters that they use:
`python -m benchmarks.font NotoSansCJK-Regular.ttc`, with the file of Debian's package fonts-noto-cjk.

Its outlines become quadratic (TrueType), the only ones that reportlab embeds.
"""

from __future__ import annotations

import argparse
import ast
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from fontTools.pens.cu2quPen import Cu2QuPen
from fontTools.pens.ttGlyphPen import TTGlyphPen
from fontTools.subset import Options, Subsetter
from fontTools.ttLib import TTFont, newTable

from app.comparison.words import LOOKED_WORDS, NOT_COMPARED_WORDS, NOTHING, VERDICT_WORDS
from app.explain.canvas import FONT_FILE
from app.explain.captions import CAPTIONS, SUSPICION_WORDS
from app.inference.finding_words import ATTENUATION_WORDS, COMMA, NO_SIDE, SIDE_WORDS, SLICE_WORDS, THIRD_WORDS
from app.inference.reason_words import REASON_WORDS
from app.inference.vocabulary import DECISION_WORDS, TRAIT_WORDS
from app.reports.comparison_words import COMPARISON_WORDS, NO_DOUBLING_WORDS, PACE_WORDS
from app.reports.page_words import PAGE_WORDS, TRAIT_NAMES

REPOSITORY: Final = Path(__file__).resolve().parents[1]
SIMPLIFIED_CHINESE: Final = 2  # in the collection: Japanese, Korean, this, traditional, Hong Kong
FIRST_CHINESE: Final = "\u2e80"
UNUSED: Final = ["BASE", "GPOS", "GSUB", "VORG", "vhea", "vmtx"]  # of vertical lines and of variants
MAX_ERROR_UNITS: Final = 1.0  # of an outline, in thousandths of the font's height
TABLES: Final = (
    *(DECISION_WORDS, CAPTIONS, SUSPICION_WORDS, REASON_WORDS, PAGE_WORDS, TRAIT_NAMES),
    *(SIDE_WORDS, THIRD_WORDS, ATTENUATION_WORDS),
    *(VERDICT_WORDS, NOT_COMPARED_WORDS, LOOKED_WORDS, COMPARISON_WORDS, PACE_WORDS, NO_DOUBLING_WORDS),
)


def words() -> Iterator[str]:
    """Every text in a table of words."""
    for table in TABLES:
        for each in table.values():
            yield from each.values()
    for one in (NO_SIDE, SLICE_WORDS, COMMA, NOTHING):
        yield from one.values()
    for scales in TRAIT_WORDS.values():
        for scale in scales.values():
            yield from scale


def signs() -> set[str]:
    """ASCII, and every sign beyond it that a text of the service holds, such as those of units in its remarks."""
    found = {chr(code) for code in range(0x20, 0x7F)}
    for path in (REPOSITORY / "app").rglob("*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        texts = (
            node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
        )
        found |= {sign for text in texts for sign in text if "\xa0" < sign < FIRST_CHINESE and sign.isprintable()}
    return found


def cut(collection: Path, characters: Iterable[str]) -> TTFont:
    """The simplified Chinese font of a collection with these characters alone."""
    font = TTFont(collection, fontNumber=SIMPLIFIED_CHINESE)
    options = Options(layout_features=[], hinting=False, desubroutinize=True, name_IDs=["*"], notdef_outline=True)
    options.drop_tables += UNUSED
    subsetter = Subsetter(options)
    subsetter.populate(text="".join(sorted(set(characters))))
    subsetter.subset(font)
    _make_quadratic(font)
    return font


def _make_quadratic(font: Any) -> None:
    """Replace PostScript outlines by TrueType's."""
    drawn, glyphs = font.getGlyphSet(), {}
    for name in font.getGlyphOrder():
        pen = TTGlyphPen(drawn)
        drawn[name].draw(Cu2QuPen(pen, MAX_ERROR_UNITS, reverse_direction=True))
        glyphs[name] = pen.glyph()
    font["loca"], font["glyf"] = newTable("loca"), newTable("glyf")
    font["glyf"].glyphOrder, font["glyf"].glyphs = font.getGlyphOrder(), glyphs
    font["glyf"].compile(font)
    for name, glyph in glyphs.items():
        font["hmtx"][name] = (font["hmtx"][name][0], getattr(glyph, "xMin", 0))
    for table in ("CFF ", "DSIG"):
        if table in font:
            del font[table]
    profile = font["maxp"]
    profile.tableVersion = 0x00010000
    for limit in ("maxTwilightPoints", "maxStorage", "maxFunctionDefs", "maxInstructionDefs", "maxStackElements"):
        setattr(profile, limit, 0)
    profile.maxZones, profile.maxSizeOfInstructions, profile.maxComponentElements = 1, 0, 0
    font["post"].formatType = 3.0
    font.sfntVersion = "\0\1\0\0"


def main() -> None:
    """Write the font."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("collection", type=Path, help="NotoSansCJK-Regular.ttc")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "app" / "explain" / FONT_FILE)
    options = parser.parse_args()
    cut(options.collection, signs().union(*words())).save(options.out)


if __name__ == "__main__":
    main()
