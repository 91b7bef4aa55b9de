"""The formats of an answer on the wire: which one a request asks for, and the response in it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final, Literal, TypeAlias

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from app.api import events
from app.api.dicomweb.multipart_related import DICOM, RELATED, related
from app.api.negotiation import KNOWN_HEADERS, accept_header, accepted, parsed
from app.inference.vocabulary import Language
from app.judgement.objects import Format

JSON: Final = "application/json"
FHIR: Final = "application/fhir+json"
PNG: Final = "image/png"
# Progress events are of the wire alone: what is judged is then written as JSON.
SeriesFormat: TypeAlias = Format | Literal["events"]
FORMATS: Final[dict[str, Format]] = {JSON: "json", DICOM: "dicom", RELATED: "dicom", FHIR: "fhir", PNG: "picture"}
TYPES: Final[dict[Format, str]] = {"json": JSON, "fhir": FHIR, "picture": PNG}
OF_SERIES: Final = (JSON, DICOM, RELATED, FHIR)
OF_SLICE: Final = (*OF_SERIES, PNG)

BINARY: Final = {"schema": {"type": "string", "format": "binary"}}
BUNDLE: Final = {"schema": {"type": "object", "description": "A FHIR R4 Bundle."}}
SERIES_CONTENT: Final[dict[str, Any]] = {f'{RELATED}; type="{DICOM}"': BINARY, FHIR: BUNDLE}
SLICE_CONTENT: Final[dict[str, Any]] = {**SERIES_CONTENT, PNG: BINARY}


def slice_format(request: Request) -> Format:
    """What a client that sends a slice asks for; JSON where it does not matter. Raises NotAcceptable."""
    return _slice_format(accept_header(request))


@lru_cache(maxsize=KNOWN_HEADERS)
def _slice_format(header: str) -> Format:
    return FORMATS[parsed(header).best(*OF_SLICE)]


def series_format(request: Request) -> SeriesFormat:
    """As `slice_format`, for a series. Events are for those who name them: a wildcard does not."""
    if not events.wanted(request.headers.get("accept")):
        return FORMATS[accepted(request).best(*OF_SERIES)]
    best = accepted(request).best(events.MEDIA_TYPE, *OF_SERIES)
    return "events" if best == events.MEDIA_TYPE else FORMATS[best]


def headers(language: Language) -> dict[str, str]:
    """What every answer to an image says of itself."""
    return {"Content-Language": language, "Vary": "Accept, Accept-Language"}


def response(written: Format, files: tuple[bytes, ...], language: Language) -> Response:
    """The response with one file, or with several as multipart/related, which are never joined: the pictures of a
    series have tens of megabytes."""
    if written in TYPES:
        (content,) = files
        return Response(content, media_type=TYPES[written], headers=headers(language))
    content_type, body = related(files)
    parts = tuple(body)
    own = {"Content-Type": content_type, "Content-Length": str(sum(map(len, parts)))}
    return StreamingResponse(iter(parts), headers={**headers(language), **own})
