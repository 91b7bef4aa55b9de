"""The parameters of a prediction: reads the text from a query, a form or the command line into typed values."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, NoReturn

from app.errors import InvalidParameter
from app.guidelines.case import Context
from app.guidelines.register import GUIDELINES
from app.imaging.ct import MAX_SPACING_MM, MIN_SPACING_MM, PointPx, QualityNote
from app.imaging.options import ReadOptions, Window
from app.judgement import context

BOOLEAN: Final = "([Tt][Rr][Uu][Ee]|1|[Yy][Ee][Ss]|[Ff][Aa][Ll][Ss][Ee]|0|[Nn][Oo])"
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
        BOOLEAN,
        "true or false",
        "boolean",
    ),
    "second_opinion": Parameter(
        "true adds what the recurrent network over a nodule's slices says of each finding. It changes no decision.",
        BOOLEAN,
        "true or false",
        "boolean",
    ),
    "guidelines": Parameter(
        f"Names with commas between them: adds what these guidelines say of the measurements. {', '.join(GUIDELINES)}.",
        f"({'|'.join(GUIDELINES)})(,({'|'.join(GUIDELINES)}))*",
        f"names with commas between them, of {', '.join(GUIDELINES)}",
    ),
    "pdf": Parameter(
        "true puts the case report as PDF into a FHIR bundle (`presentedForm`), in the language of Accept-Language.",
        BOOLEAN,
        "true or false",
        "boolean",
    ),
    "async": Parameter(
        "true answers 202 at once with the address of a job, under which the answer can be asked for later. In the "
        "address alone.",
        BOOLEAN,
        "true or false",
        "boolean",
    ),
}
ASYNC: Final = "async"
OF_SERIES_ALONE: Final = ("second_opinion",)
KNOWN: Final = tuple(name for name in PARAMETERS if name not in (*OF_SERIES_ALONE, ASYNC))
OF_READING: Final = ("pixel_spacing_mm", "window", "frame")
KNOWN_OF_SERIES: Final = ("explain", "guidelines", "pdf", *OF_SERIES_ALONE)
KNOWN_OF_COMPARISON: Final = ("guidelines", "pdf")
OF_COMMAND: Final = tuple(name for name in KNOWN if name != "pdf")  # which writes PDF, and no FHIR
# Parts of a form alone: an address is logged by whatever it passes.
REPORT: Final = "report"
CONTEXT: Final = context.NAME
TRUE: Final = ("true", "1", "yes")
IGNORED: Final = "ignored"


@dataclass(frozen=True, slots=True)
class Parameters:
    """The parameters of one slice or series; `notes` are remarks about the request itself, `ignored` the number of
    unknown ones. A series has no roi, and only a series has second opinions."""

    roi_px: PointPx | None = None
    options: ReadOptions = field(default_factory=ReadOptions)
    explain: bool = False
    second_opinion: bool = False
    notes: tuple[QualityNote, ...] = ()
    ignored: int = 0
    guidelines: tuple[str, ...] = ()
    context: Context = field(default_factory=Context)
    pdf: bool = False


def parse_parameters(texts: Mapping[str, str]) -> Parameters:
    """Parse the known parameters and ignore empty ones; raises InvalidParameter, which names the wrong parameter."""
    given, ignored = _given(texts, KNOWN)
    options = ReadOptions(
        frame=int(given["frame"]) if "frame" in given else None,
        pixel_spacing_mm=_spacing(given.get("pixel_spacing_mm")),
        window=_window(given.get("window")),
    )
    roi_px = _pair(given["roi"]) if "roi" in given else None
    explain = _is_true(given, "explain")
    names, known = _for_guidelines(given)
    return Parameters(
        roi_px,
        options,
        explain,
        notes=_remarks(ignored, KNOWN),
        ignored=ignored,
        guidelines=names,
        context=known,
        pdf=_is_true(given, "pdf"),
    )


def parse_series_parameters(texts: Mapping[str, str]) -> Parameters:
    """Parse the parameters of a series, as `parse_parameters` does those of a slice. Whether it asks for a job says
    `wants_job`."""
    given, ignored = _given(texts, (*KNOWN_OF_SERIES, ASYNC))
    names, known = _for_guidelines(given)
    return Parameters(
        explain=_is_true(given, "explain"),
        second_opinion=_is_true(given, "second_opinion"),
        notes=_remarks(ignored, KNOWN_OF_SERIES),
        ignored=ignored,
        guidelines=names,
        context=known,
        pdf=_is_true(given, "pdf"),
    )


def parse_comparison_parameters(texts: Mapping[str, str]) -> Parameters:
    """Parse the parameters of a comparison, as `parse_parameters` does those of a slice."""
    given, ignored = _given(texts, KNOWN_OF_COMPARISON)
    names, known = _for_guidelines(given)
    return Parameters(
        notes=_remarks(ignored, KNOWN_OF_COMPARISON),
        ignored=ignored,
        guidelines=names,
        context=known,
        pdf=_is_true(given, "pdf"),
    )


def wants_job(texts: Mapping[str, str]) -> bool:
    """Whether a query asks for a job instead of the answer; raises InvalidParameter."""
    given, _ = _given(texts, (ASYNC,))
    return _is_true(given, ASYNC)


def require_none(parameters: Parameters) -> None:
    """Raise InvalidParameter for anything that is asked of a job: what comes by any door is judged in one way."""
    if replace(parameters, notes=(), ignored=0) != Parameters() or parameters.ignored:
        raise InvalidParameter(
            found=f"a parameter beside {ASYNC}",
            expected=f"{ASYNC} alone: a job is judged without parameters, as what comes by DICOMweb",
            remedy=f"Leave the others out, or {ASYNC}.",
        )


def require_fhir(parameters: Parameters, wanted: str) -> None:
    """Raise InvalidParameter for `pdf` with an answer in another format than FHIR."""
    if parameters.pdf and wanted != "fhir":
        raise InvalidParameter(
            found="pdf with a request for another format than FHIR",
            expected="application/fhir+json, whose report can hold the PDF",
            remedy="Ask for application/fhir+json, or for application/pdf alone and leave pdf out.",
        )


def _for_guidelines(given: Mapping[str, str]) -> tuple[tuple[str, ...], Context]:
    names = tuple(dict.fromkeys(given["guidelines"].split(","))) if "guidelines" in given else ()
    return names, context.parse_context(given[CONTEXT]) if CONTEXT in given else Context()


def parameter_texts(parameters: Parameters) -> dict[str, str]:
    """Texts that are parsed to the same parameters again, those that were not given left out; unknown ones are
    counted in IGNORED. Without guidelines, their context and `pdf`, which change no judgement: the context is of a
    patient."""
    options, window = parameters.options, parameters.options.window
    texts = {
        "roi": _written(parameters.roi_px),
        "pixel_spacing_mm": _written(options.pixel_spacing_mm),
        "window": None if window is None else _written((window.centre_hu, window.width_hu)),
        "frame": None if options.frame is None else str(options.frame),
        "explain": "true" if parameters.explain else None,
        "second_opinion": "true" if parameters.second_opinion else None,
        IGNORED: str(parameters.ignored) if parameters.ignored else None,
    }
    return {name: text for name, text in texts.items() if text is not None}


def with_unknown(texts: Mapping[str, str]) -> dict[str, str]:
    """What `parameter_texts` gave, as the parsers take it: with as many unknown parameters as there were."""
    given = {name: text for name, text in texts.items() if name != IGNORED}
    return given | {f"{IGNORED}-{number}": "1" for number in range(int(texts.get(IGNORED, "0")))}


def _written(numbers: tuple[float, float] | None) -> str | None:
    return None if numbers is None else ",".join(f"{number!r}" for number in numbers)


def _given(texts: Mapping[str, str], known: Collection[str]) -> tuple[dict[str, str], int]:
    """The parameters that have a value, and the number of unknown ones; raises InvalidParameter."""
    given = {name: text.strip() for name, text in texts.items() if text.strip()}
    for name in given.keys() & set(known):
        if not re.fullmatch(PARAMETERS[name].pattern, given[name]):
            _refuse(name)
    return given, len(given.keys() - {*known, CONTEXT})


def _remarks(ignored: int, known: Collection[str]) -> tuple[QualityNote, ...]:
    if not ignored:
        return ()
    message = f"{ignored} parameter(s) are not known here and were ignored; known are {', '.join(known)}."
    return (QualityNote("parameter_ignored", "warning", message),)


def _is_true(given: Mapping[str, str], name: str) -> bool:
    return given.get(name, "").lower() in TRUE


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
