"""Numbers as the standard writes them and as some files do, and what is said of values that were odd."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from app.imaging.ct import QualityNote

DECIMAL_COMMA: Final = re.compile(r"[+-]?\d+,\d+(?:[eE][+-]?\d+)?")
THOUSANDS: Final = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")  # or a decimal comma: nobody can tell


@dataclass(frozen=True, slots=True)
class Remarks:
    """Keywords whose values were odd: `ignored` as nothing needs them, or `with_comma` as 0,7 is written for 0.7."""

    ignored: set[str] = field(default_factory=set)
    with_comma: set[str] = field(default_factory=set)

    def notes(self) -> tuple[QualityNote, ...]:
        """What is said of them."""
        said = []
        if self.ignored:
            message = f"Not used, for the value is unusable and not needed: {', '.join(sorted(self.ignored))}."
            said.append(QualityNote("attribute_ignored", "warning", message))
        if self.with_comma:
            message = f"A decimal comma was read as a point: {', '.join(sorted(self.with_comma))}."
            said.append(QualityNote("decimal_comma_read", "warning", message))
        return tuple(said)

    def numbers(self, keyword: str, values: Sequence[Any]) -> tuple[float, ...]:
        """The values of an attribute, texts or what pydicom has made of them; raises ValueError, or what `float` does.

        0,7 is read as 0.7, and said so.
        """
        try:
            return tuple(map(_number, values))
        except ValueError:
            numbers = tuple(map(_with_comma, values))
        self.with_comma.add(keyword)
        return numbers


def _number(value: Any) -> float:  # a text, or what pydicom has made of one
    """Raises ValueError for a text that is none to DICOM, although 1_000 is one to Python."""
    if "_" in str(value):
        raise ValueError
    return float(value)


def _with_comma(value: Any) -> float:
    """As `_number`; raises ValueError for one whose comma may stand before decimals or before thousands."""
    text = str(value)
    if DECIMAL_COMMA.fullmatch(text) and not THOUSANDS.fullmatch(text):
        text = text.replace(",", ".")
    return _number(text)
