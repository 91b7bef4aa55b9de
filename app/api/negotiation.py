"""Chooses the format (Accept, RFC 9110 12.5.1) and the language (Accept-Language, 12.5.4), and writes the response."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal, TypeAlias

from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from pydicom.uid import ExplicitVRLittleEndian, JPEGLSLossless
from starlette.datastructures import Headers

from app.api import events, page_policies
from app.api.dicomweb.multipart_related import DICOM, RELATED, related
from app.api.header_values import options_of, within_bounds
from app.audit.receipts import header_value
from app.errors import NotAcceptable
from app.inference.vocabulary import Language
from app.judgement.formats import Format
from app.judgement.records import Receipt

ANYTHING: Final = "*/*"
KNOWN_HEADERS: Final = 64  # a client sends the same ones each time
# What parts and files of results are, and so what a range for DICOM may ask for (PS3.18 8.7.3.5.1 and .2). A range for
# several parts is known by the type of its parts.
DICOM_XML: Final = "application/dicom+xml"
OCTETS: Final = "application/octet-stream"
RELATED_XML: Final = f'{RELATED}; type="{DICOM_XML}"'
RELATED_OCTETS: Final = f'{RELATED}; type="{OCTETS}"'
PARTS: Final = {DICOM: RELATED, DICOM_XML: RELATED_XML, OCTETS: RELATED_OCTETS}
ANY_PART: Final = ("application/*", ANYTHING)
SYNTAXES: Final = (ExplicitVRLittleEndian, JPEGLSLossless, "*")
IN_WORDS: Final = {
    RELATED: f'{RELATED}; type="{DICOM}"; transfer-syntax={ExplicitVRLittleEndian}',
    DICOM: f"{DICOM}; transfer-syntax={ExplicitVRLittleEndian}",
}

# A receipt (`app.audit.receipts`) beside an answer that is not JSON.
RECEIPT_HEADER: Final = "Lungscope-Receipt"
DEFAULT_LANGUAGE: Language = "en"
LANGUAGES: Final[dict[str, Language]] = {"en": "en", "zh": "zh"}


JSON: Final = "application/json"
FHIR: Final = "application/fhir+json"
PNG: Final = "image/png"
HTML: Final = "text/html"
PDF: Final = "application/pdf"
# Progress events are of the wire alone: what is judged is then written as JSON.
SeriesFormat: TypeAlias = Format | Literal["events"]
FORMATS: Final[dict[str, Format]] = {
    JSON: "json",
    DICOM: "dicom",
    RELATED: "dicom",
    FHIR: "fhir",
    HTML: "html",
    PDF: "pdf",
    PNG: "picture",
}
TYPES: Final[dict[Format, str]] = {"json": JSON, "fhir": FHIR, "html": HTML, "pdf": PDF, "picture": PNG}
OF_SERIES: Final = (JSON, DICOM, RELATED, FHIR, HTML, PDF)
OF_SLICE: Final = (*OF_SERIES, PNG)

BINARY: Final = {"schema": {"type": "string", "format": "binary"}}
BUNDLE: Final = {"schema": {"type": "object", "description": "A FHIR R4 Bundle."}}
PAGE: Final = {"schema": {"type": "string", "description": "A case report for people, with its pictures in it."}}
SERIES_CONTENT: Final[dict[str, Any]] = {
    f'{RELATED}; type="{DICOM}"': BINARY,
    FHIR: BUNDLE,
    HTML: PAGE,
    PDF: BINARY,
}
SLICE_CONTENT: Final[dict[str, Any]] = {**SERIES_CONTENT, PNG: BINARY}

# FastAPI would write that it may be null, which no header can be.
LANGUAGE_PARAMETER: Final = {
    "name": "Accept-Language",
    "in": "header",
    "schema": {"type": "string"},
    "description": "zh gives Chinese words in `display`, pictures and case reports, anything else English ones.",
}


@dataclass(frozen=True, slots=True)
class MediaRanges:
    """The media ranges of an Accept header with their weights, without ranges for kinds of DICOM that results are
    not.

    `uncompressed` asks for DICOM in Explicit VR Little Endian and in no other transfer syntax.
    """

    weights: dict[str, float]
    uncompressed: bool = False

    def weight(self, media_type: str) -> float:
        """The weight of the most specific range that fits, from 0 to 1; 0 when none does."""
        ranges = (media_type, media_type.split("/")[0] + "/*", ANYTHING)
        return next((self.weights[each] for each in ranges if each in self.weights), 0.0)

    def prefers(self, one: str, other: str) -> bool:
        """Whether the client prefers `one` to `other`."""
        return self.weight(one) > self.weight(other)

    def best(self, *offered: str) -> str:
        """The type with the highest weight, the first of equals; raises NotAcceptable."""
        best = max(offered, key=self.weight)
        if self.weight(best) == 0:
            raise NotAcceptable(
                found="an Accept header that excludes every format of the answer",
                expected=" or ".join(IN_WORDS.get(each, each) for each in offered),
                remedy="Accept one of them.",
            )
        return best

    def require(self, media_type: str) -> None:
        """Raise NotAcceptable unless the client accepts `media_type`."""
        self.best(media_type)


def media_ranges(request: Request) -> MediaRanges:
    """Read the Accept header of a request; without one, every format is accepted."""
    return read_media_ranges(accept_header(request))


def accept_header(request: Request) -> str:
    """All Accept headers of a request joined into one; empty without any. Raises HeadTooLarge."""
    return within_bounds(",".join(request.headers.getlist("accept")))


@lru_cache(maxsize=KNOWN_HEADERS)
def read_media_ranges(header: str) -> MediaRanges:
    """Read the text of `accept_header`."""
    parts = header.split(",")
    ranges = [(kind.decode("latin-1").lower(), options) for kind, options in map(options_of, parts) if kind]
    weights: dict[str, float] = {}
    syntaxes: set[str] = set()
    for name, options in ranges:
        for given in _that_can_be_given(name, options):
            weights[given] = max(weights.get(given, 0.0), read_weight(options.get(b"q", b"1")))
            syntaxes |= {_syntax(options)} if given in (RELATED, DICOM) else set()
    return MediaRanges(weights if ranges else {ANYTHING: 1.0}, syntaxes == {ExplicitVRLittleEndian})


def _that_can_be_given(name: str, options: Mapping[bytes, bytes]) -> tuple[str, ...]:
    """The names, as `MediaRanges` knows them, of what a media range asks for and results can be; only the ranges for
    DICOM have parameters that matter."""
    asked = {option: value.decode("latin-1").lower() for option, value in options.items()}
    if name in (RELATED, DICOM) and _syntax(options) not in SYNTAXES:
        return ()
    if name != RELATED:
        return (name,)
    kind = asked.get(b"type", ANYTHING)
    return tuple(PARTS.values()) if kind in ANY_PART else tuple(filter(None, [PARTS.get(kind)]))


def _syntax(options: Mapping[bytes, bytes]) -> str:
    """The transfer syntax that a range for DICOM names; any where it names none."""
    return options.get(b"transfer-syntax", b"*").decode("latin-1")


def read_weight(text: str | bytes) -> float:
    """A quality value (RFC 9110 12.4.2) from 0 to 1; 0 when the text is not a number."""
    try:
        return min(max(float(text), 0.0), 1.0)
    except ValueError:
        return 0.0


def accepts_gzip(headers: Headers) -> bool:
    """Whether the client takes an answer in gzip (Accept-Encoding, RFC 9110 12.5.3). Raises HeadTooLarge."""
    header = within_bounds(",".join(headers.getlist("accept-encoding")))
    entries = (part.strip().lower().partition(";") for part in header.split(","))
    return any(coding.strip() == "gzip" and _weight(parameter) > 0 for coding, _, parameter in entries)


@lru_cache(maxsize=KNOWN_HEADERS)
def preferred_language(accept_language: str | None) -> Language:
    """The known language with the highest weight; English when the client prefers none or the header is malformed."""
    best: tuple[float, Language] = (0.0, DEFAULT_LANGUAGE)
    for part in (accept_language or "").split(","):
        tag, _, parameter = part.strip().partition(";")
        language = LANGUAGES.get(tag.strip().lower().split("-")[0])
        weight = _weight(parameter)
        if language is not None and weight > best[0]:
            best = (weight, language)
    return best[1]


def _weight(parameter: str) -> float:
    name, _, value = parameter.strip().partition("=")
    return read_weight(value) if name.strip().lower() == "q" else 1.0


def slice_format(request: Request) -> Format:
    """The format of the answer for a slice, JSON where the client does not mind. Raises NotAcceptable."""
    return _slice_format(accept_header(request))


@lru_cache(maxsize=KNOWN_HEADERS)
def _slice_format(header: str) -> Format:
    return _format(read_media_ranges(header), OF_SLICE)


def series_format(request: Request) -> SeriesFormat:
    """The format of the answer for a series; events only for a client that names their type. Raises NotAcceptable."""
    ranges = media_ranges(request)
    if events.wanted(request.headers.get("accept")) and (
        ranges.best(events.MEDIA_TYPE, *OF_SERIES) == events.MEDIA_TYPE
    ):
        return "events"
    return _format(ranges, OF_SERIES)


def comparison_format(request: Request) -> Format:
    """The format of the answer for two series. Raises NotAcceptable."""
    return _format(media_ranges(request), OF_SERIES)


def _format(ranges: MediaRanges, offered: Sequence[str]) -> Format:
    best = FORMATS[ranges.best(*offered)]
    return "uncompressed_dicom" if best == "dicom" and ranges.uncompressed else best


def headers(language: Language) -> dict[str, str]:
    """The response headers of every answer about an image."""
    return {"Content-Language": language, "Vary": "Accept, Accept-Language"}


def response(written: Format, files: tuple[bytes, ...], language: Language, receipt: Receipt | None = None) -> Response:
    """The response with one file, or with several as multipart/related; the receipt, if it is not in the JSON, in a
    header.

    The files are never joined in memory: those of a series have megabytes.
    """
    own = headers(language)
    if receipt is not None and written != "json":
        own[RECEIPT_HEADER] = header_value(receipt)
    if written == "html":
        own[page_policies.HEADER] = page_policies.REPORT
    if written in TYPES:
        (content,) = files
        return Response(content, media_type=TYPES[written], headers=own)
    content_type, body = related(files)
    parts = tuple(body)
    of_parts = {"Content-Type": content_type, "Content-Length": str(sum(map(len, parts)))}
    return StreamingResponse(iter(parts), headers={**own, **of_parts})
