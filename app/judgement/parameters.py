"""The parameters of a prediction: text from query or form to typed values. The command line shares them."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final, NoReturn

from app.errors import InvalidParameter
from app.imaging.ct import MAX_SPACING_MM, MIN_SPACING_MM, PointPx, QualityNote
from app.imaging.options import ReadOptions, Window

KNOWN: Final = ("roi", "pixel_spacing_mm", "window", "frame", "explain")
KNOWN_OF_SERIES: Final = ("explain",)
TRUE, FALSE = ("true", "1", "yes"), ("false", "0", "no")
MAX_TEXT: Final = 100  # longer is no number that is meant


@dataclass(frozen=True, slots=True)
class Parameters:
    """What is asked of a slice or a series; `notes` are remarks about the request itself. A series has no roi."""

    roi_px: PointPx | None = None
    options: ReadOptions = field(default_factory=ReadOptions)
    explain: bool = False
    notes: tuple[QualityNote, ...] = ()


def parse_parameters(texts: Mapping[str, str]) -> Parameters:
    """Parse the known parameters, ignoring empty ones; raises InvalidParameter naming the one that cannot be used."""
    given, notes = _given(texts, KNOWN)
    options = ReadOptions(
        frame=_frame(given.get("frame")),
        pixel_spacing_mm=_spacing(given.get("pixel_spacing_mm")),
        window=_window(given.get("window")),
    )
    return Parameters(_roi(given.get("roi")), options, _explain(given.get("explain")), notes)


def parse_series_parameters(texts: Mapping[str, str]) -> Parameters:
    """As `parse_parameters`, for a series."""
    given, notes = _given(texts, KNOWN_OF_SERIES)
    return Parameters(explain=_explain(given.get("explain")), notes=notes)


def _given(texts: Mapping[str, str], known: Collection[str]) -> tuple[dict[str, str], tuple[QualityNote, ...]]:
    """The parameters that have a value, and a remark about those that are not known."""
    given = {name: text.strip() for name, text in texts.items() if text.strip()}
    if unknown := len(given.keys() - set(known)):
        message = f"{unknown} parameter(s) are not known here and were ignored; known are {', '.join(known)}."
        return given, (QualityNote("parameter_ignored", "warning", message),)
    return given, ()


def _roi(text: str | None) -> PointPx | None:
    if text is None:
        return None
    numbers = _numbers(text)
    if len(numbers) != 2:
        _refuse("roi", "column,row in pixels, for example 312,201")
    return numbers[0], numbers[1]


def _spacing(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    numbers = _numbers(text)
    if len(numbers) not in (1, 2) or not all(MIN_SPACING_MM <= n <= MAX_SPACING_MM for n in numbers):
        _refuse("pixel_spacing_mm", f"one number, or row,column, from {MIN_SPACING_MM} to {MAX_SPACING_MM} mm")
    return numbers[0], numbers[-1]


def _window(text: str | None) -> Window | None:
    if text is None:
        return None
    numbers = _numbers(text)
    try:
        centre, width = numbers
        return Window(centre, width)
    except ValueError:
        _refuse("window", "center,width in HU with a width of at least 1, for example -600,1500")


def _frame(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and int(text) > 0):
        _refuse("frame", "a whole number from 1")
    return int(text)


def _explain(text: str | None) -> bool:
    if text is None:
        return False
    if text.lower() not in TRUE + FALSE:
        _refuse("explain", "true or false")
    return text.lower() in TRUE


def _numbers(text: str) -> list[float]:
    """Finite numbers between commas; empty when any part is none."""
    if len(text) > MAX_TEXT:
        return []
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        return []
    return numbers if all(map(math.isfinite, numbers)) else []


def _refuse(name: str, expected: str) -> NoReturn:
    raise InvalidParameter(found=f"{name} with an unusable value", expected=expected, remedy=f"Correct {name}.")
