"""Answers that are data sets: DICOM JSON (PS3.18 F), or XML (PS3.19 A) for who accepts that and no JSON."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable
from http import HTTPStatus
from typing import Any, Final

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from app.api.dicomweb.multipart_related import related
from app.api.dicomweb.native_xml import to_xml
from app.api.negotiation import DICOM_XML, JSON, RELATED_XML, media_ranges

DICOM_JSON: Final = "application/dicom+json"
# JSON comes first: it is the default (PS3.18 8.7.3.2), and `application/json` gets it under the name it asked for.
OF_MANY: Final = (DICOM_JSON, JSON, RELATED_XML, DICOM_XML)
OF_ONE: Final = (DICOM_JSON, JSON, DICOM_XML)
DATASET: Final = {"schema": {"type": "object", "description": "A data set as DICOM JSON (PS3.18 F)."}}
DATASETS: Final = {"schema": {"type": "array", "items": DATASET["schema"]}}
XML: Final = {"schema": {"type": "string", "description": "The Native DICOM Model (PS3.19 A.1)."}}
CONTENT_OF_ONE: Final[dict[str, Any]] = {DICOM_JSON: DATASET, DICOM_XML: XML}
CONTENT_OF_MANY: Final[dict[str, Any]] = {DICOM_JSON: DATASETS, RELATED_XML: XML}


def format_of_many(request: Request) -> str:
    """The type of an answer with any number of data sets; raises NotAcceptable."""
    return media_ranges(request).best(*OF_MANY)


def format_of_one(request: Request) -> str:
    """The type of an answer with one data set; raises NotAcceptable."""
    return media_ranges(request).best(*OF_ONE)


def many(wanted: str, datasets: Iterable[str]) -> Response:
    """Data sets, given as DICOM JSON, in the type of `format_of_many`; XML in a part each (PS3.18 8.7.3.2)."""
    if wanted in (RELATED_XML, DICOM_XML):
        content_type, body = related((to_xml(json.loads(text)) for text in datasets), DICOM_XML)
        return Response(b"".join(body), headers={"Content-Type": content_type})
    return Response(f"[{','.join(datasets)}]", media_type=wanted)


def one(wanted: str, pieces: list[bytes], status: HTTPStatus) -> Response:
    """One data set, given as DICOM JSON in pieces, in the type of `format_of_one`."""
    if wanted == DICOM_XML:
        return Response(to_xml(json.loads(b"".join(pieces))), status, media_type=DICOM_XML)
    if len(pieces) == 1:
        return Response(pieces[0], status, media_type=wanted)
    return StreamingResponse(_each(pieces), status, media_type=wanted)


async def _each(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
