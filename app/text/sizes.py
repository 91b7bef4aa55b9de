"""Lengths in a sentence that are sizes, in millimetres."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from app.text.lexicon import Lexicon

MAX_MM: Final = 500.0  # no lung is longer
THOUSANDS: Final = 3  # digits after a comma that is no decimal one
_DIGITS: Final = "[0-9０-９]"
_NUMBER: Final = rf"(?:{_DIGITS}+(?:[.,．]{_DIGITS}+)?|(?<![0-9０-９])\.{_DIGITS}+)"
_MM: Final = r"mm|ｍｍ|㎜|millimet(?:er|re)s?|ミリ(?:メートル)?|毫米|公釐"
_CM: Final = r"cm|ｃｍ|㎝|centimet(?:er|re)s?|センチ(?:メートル)?|厘米|公分"
_UNIT: Final = rf"(?:{_MM}|{_CM})"
_BETWEEN: Final = r"(?:x|×|ｘ|Ｘ|✕|\*|＊|by|to|-|–|—|~|～|〜|至|から)"
_PART: Final = re.compile(rf"({_NUMBER})\s*-?\s*({_UNIT})?", re.IGNORECASE)
_SIZE: Final = re.compile(
    rf"(?<![A-Za-z0-9０-９_.．/-])(?:{_NUMBER}(?:\s*-?\s*{_UNIT})?\s*{_BETWEEN}\s*){{0,2}}"
    rf"{_NUMBER}\s*-?\s*{_UNIT}(?![A-Za-z0-9²³^/])",
    re.IGNORECASE,
)


class Size(NamedTuple):
    """Characters of a sentence that state a size, and its numbers in mm."""

    start: int
    end: int
    mm: tuple[float, ...]


def sizes_of(sentence: str, lexicon: Lexicon) -> Iterator[Size]:
    """The sizes that a sentence states: `8 mm`, `1.2 x 0.9 cm`, `5-6 mm`. A slice's thickness or a distance is none."""
    for found in _SIZE.finditer(sentence):
        if lexicon.not_size_before.search(sentence[: found.start()]):
            continue
        if lexicon.not_size_after.match(sentence[found.end() :]):
            continue
        mm = _millimetres(found.group())
        if mm and all(0 < each <= MAX_MM for each in mm):
            yield Size(found.start(), found.end(), mm)


def _millimetres(text: str) -> tuple[float, ...]:
    """Numbers without a unit have that of the next one that has."""
    parts = [(_number(number), unit) for number, unit in _PART.findall(text)]
    scale, mm = 0.0, []
    for number, unit in reversed(parts):
        if unit:
            scale = 1.0 if re.fullmatch(_MM, unit, re.IGNORECASE) else 10.0
        mm.append(round(number * scale, 2))
    return tuple(reversed(mm))


def _number(text: str) -> float:
    plain = text.replace("．", ".")
    whole, comma, rest = plain.partition(",")
    return float(whole + rest if comma and len(rest) == THOUSANDS else plain.replace(",", "."))
