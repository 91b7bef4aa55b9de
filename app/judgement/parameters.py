"""The parameters of a prediction: reads the text from a query, a form or the command line into typed values."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final, NoReturn

from app.errors import InvalidParameter
from app.guidelines.case import Context
from app.guidelines.register import GUIDELINES
from app.imaging.ct import MAX_SPACING_MM, MIN_SPACING_MM, PointPx, QualityNote
from app.imaging.options import ReadOptions, Window
from app.judgement import context

NUMBER: Final = r" *[+-]?([0-9]{1,20}([.][0-9]{0,20})?|[.][0-9]{1,20})([eE][+-]?[0-9]{1,2})? *"


@dataclass(frozen=True, slots=True)
class Parameter:
    """The meaning of a parameter, a pattern for its whole text, the pattern in words, and its JSON type.

    The pattern uses only what Python and ECMA 262 have in common.
    """

    description: str
    pattern: str
    expected: str
    type: str = "string"

    def schema(self) -> dict[str, str]:
        """The parameter's JSON schema. Only a string has the pattern: JSON itself says how other types are written."""
        return {"type": self.type} | ({"pattern": f"^{self.pattern}$"} if self.type == "string" else {})


# The one table of parameters: what is read, and what the OpenAPI document says.
PARAMETERS: Final = {
    "roi": Parameter(
        "column,row of the nodule in pixels of the sent image, e.g. 312,201. Without it: all candidates.",
        f"{NUMBER},{NUMBER}",
        "column,row in pixels, for example 312,201",
    ),
    "pixel_spacing_mm": Parameter(
        "Pixel spacing in mm, one number or row,column, for images that do not state it, e.g. 0.7.",
        f"{NUMBER}(,{NUMBER})?",
        f"one number, or row,column, from {MIN_SPACING_MM} to {MAX_SPACING_MM} mm",
    ),
    "window": Parameter(
        "center,width in HU with which an 8- or 16-bit picture was written, e.g. -600,1500.",
        f"{NUMBER},{NUMBER}",
        "center,width in HU with a width of at least 1, for example -600,1500",
    ),
    "frame": Parameter(
        "Frame of a multi-frame image, 1 is the first.", "0*[1-9][0-9]{0,8}", "a whole number from 1", "integer"
    ),
    "explain": Parameter(
        "true adds the class-activation map of each finding.",
        "([Tt][Rr][Uu][Ee]|1|[Yy][Ee][Ss]|[Ff][Aa][Ll][Ss][Ee]|0|[Nn][Oo])",
        "true or false",
        "boolean",
    ),
    "guidelines": Parameter(
        f"Names with commas between them: adds what these guidelines say of the measurements. {', '.join(GUIDELINES)}.",
        f"({'|'.join(GUIDELINES)})(,({'|'.join(GUIDELINES)}))*",
        f"names with commas between them, of {', '.join(GUIDELINES)}",
    ),
}
KNOWN: Final = tuple(PARAMETERS)
KNOWN_OF_SERIES: Final = ("explain", "guidelines")
# Parts of a form alone: an address is logged by whatever it passes.
REPORT: Final = "report"
CONTEXT: Final = context.NAME
TRUE: Final = ("true", "1", "yes")


@dataclass(frozen=True, slots=True)
class Parameters:
    """The parameters of one slice or series; `notes` are remarks about the request itself. A series has no roi."""

    roi_px: PointPx | None = None
    options: ReadOptions = field(default_factory=ReadOptions)
    explain: bool = False
    notes: tuple[QualityNote, ...] = ()
    guidelines: tuple[str, ...] = ()
    context: Context = field(default_factory=Context)


def parse_parameters(texts: Mapping[str, str]) -> Parameters:
    """Parse the known parameters and ignore empty ones; raises InvalidParameter, which names the wrong parameter."""
    given, notes = _given(texts, KNOWN)
    options = ReadOptions(
        frame=int(given["frame"]) if "frame" in given else None,
        pixel_spacing_mm=_spacing(given.get("pixel_spacing_mm")),
        window=_window(given.get("window")),
    )
    roi_px = _pair(given["roi"]) if "roi" in given else None
    return Parameters(roi_px, options, given.get("explain", "").lower() in TRUE, notes, *_for_guidelines(given))


def parse_series_parameters(texts: Mapping[str, str]) -> Parameters:
    """Parse the parameters of a series, as `parse_parameters` does those of a slice."""
    given, notes = _given(texts, KNOWN_OF_SERIES)
    names, known = _for_guidelines(given)
    return Parameters(explain=given.get("explain", "").lower() in TRUE, notes=notes, guidelines=names, context=known)


def _for_guidelines(given: Mapping[str, str]) -> tuple[tuple[str, ...], Context]:
    names = tuple(dict.fromkeys(given["guidelines"].split(","))) if "guidelines" in given else ()
    return names, context.parse_context(given[CONTEXT]) if CONTEXT in given else Context()


def _given(texts: Mapping[str, str], known: Collection[str]) -> tuple[dict[str, str], tuple[QualityNote, ...]]:
    """The parameters that have a value, and a remark about unknown ones; raises InvalidParameter."""
    given = {name: text.strip() for name, text in texts.items() if text.strip()}
    for name in given.keys() & set(known):
        if not re.fullmatch(PARAMETERS[name].pattern, given[name]):
            _refuse(name)
    if unknown := len(given.keys() - {*known, CONTEXT}):
        message = f"{unknown} parameter(s) are not known here and were ignored; known are {', '.join(known)}."
        return given, (QualityNote("parameter_ignored", "warning", message),)
    return given, ()


def _pair(text: str) -> PointPx:
    first, second = map(float, text.split(","))
    return first, second


def _spacing(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    numbers = [float(part) for part in text.split(",")]
    if not all(MIN_SPACING_MM <= n <= MAX_SPACING_MM for n in numbers):
        _refuse("pixel_spacing_mm")
    return numbers[0], numbers[-1]


def _window(text: str | None) -> Window | None:
    if text is None:
        return None
    try:
        return Window(*_pair(text))
    except ValueError:
        _refuse("window")


def _refuse(name: str) -> NoReturn:
    raise InvalidParameter(
        found=f"{name} with an unusable value", expected=PARAMETERS[name].expected, remedy=f"Correct {name}."
    )
