"""Read the text of a report."""

from __future__ import annotations

import time
from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic_core import to_json
from starlette.requests import ClientDisconnect

from app import telemetry
from app.api.deps import ServicesDep, actor_of, authorise
from app.api.examples import REPORT_ANSWERS, REPORT_TEXTS
from app.api.negotiation import JSON, media_ranges
from app.api.problems import responses_for
from app.api.report_answers import ReportAnswer, report_answer
from app.api.uploads.body import announced_bytes, has_left
from app.api.uploads.report import PLAIN, ReportIn, read_report
from app.audit.receipts import digest_of
from app.errors import (
    ArchiveTooLarge,
    DecoderUnavailable,
    FileMissing,
    MalformedArchive,
    MalformedDicom,
    MalformedForm,
    MalformedPicture,
    ModelLoading,
    NoDicomSource,
    SeriesTooLarge,
    SpoolFull,
    StorageFull,
    StorageUnavailable,
    UnfitPair,
    UnsupportedArchive,
    UnsupportedTransferSyntax,
    UnusableTensors,
)
from app.inference.engine import Abandoned
from app.text.statements import Language

router = APIRouter(prefix="/v1", tags=["reports"], dependencies=[Depends(authorise)])

REQUEST_BODY: Final[dict[str, Any]] = {
    "required": True,
    "description": "The text of one report, in UTF-8.",
    "content": {
        PLAIN: {"schema": {"type": "string"}, "examples": REPORT_TEXTS},
        JSON: {"schema": ReportIn.model_json_schema()},
    },
}
OF_OTHERS: Final = (
    ArchiveTooLarge,
    DecoderUnavailable,
    FileMissing,
    MalformedArchive,
    MalformedDicom,
    MalformedForm,
    MalformedPicture,
    ModelLoading,
    NoDicomSource,
    SeriesTooLarge,
    SpoolFull,
    StorageFull,
    StorageUnavailable,
    UnfitPair,
    UnsupportedArchive,
    UnsupportedTransferSyntax,
    UnusableTensors,
)
DESCRIPTION: Final = (
    "Post the text of a chest CT report, and have its sentences with what they state: findings and whether they are "
    "denied or left open, sizes in mm, lobes, sides, attenuation, recommendations, TNM descriptors; and the nodules "
    "that it names. Rules read English, Japanese and Chinese; a network labels English and Japanese sentences by what "
    "they bear on. Spans are Unicode code points of the sent text.\n\n"
    "The text is held in memory until the answer is sent, and neither stored nor logged. Nothing is said of "
    "malignancy."
)
LanguageQuery = Annotated[
    Language | None, Query(description="Language of the report; without it the script of its characters tells.")
]


@router.post(
    "/reports",
    summary="Read the text of a report",
    description=DESCRIPTION,
    response_model=ReportAnswer,
    responses={
        200: {"description": "What the report states.", "content": {JSON: REPORT_ANSWERS}},
        **responses_for(400, 406, 408, 413, 415, 503, 507, 500, without=OF_OTHERS),
    },
    openapi_extra={"requestBody": REQUEST_BODY},
)
async def read(request: Request, services: ServicesDep, language: LanguageQuery = None) -> Response:
    """Read the text of a report."""
    began = time.perf_counter()
    media_ranges(request).require(JSON)
    services.records.require()
    with services.engine.coming(announced_bytes(request)):
        upload = await read_report(request, language, services.report_limit)
    request_id = telemetry.request_id.get() or ""
    actor = actor_of(request)

    def work() -> bytes:
        reading = services.reader.read(upload.text, upload.language)
        tagger = reading.tagger
        models = {} if tagger is None else {f"{tagger.manifest.name}/{tagger.manifest.version}": tagger.digest}
        digest = digest_of(upload.text.encode("utf-8", "surrogatepass"))
        services.records.happened("read_report", actor, request_id, input=digest, models=models)
        return to_json(report_answer(upload, reading, request_id, (time.perf_counter() - began) * 1000))

    try:
        answer = await services.engine.submit(work, upload.size_bytes, partial(has_left, request))
    except Abandoned:
        raise ClientDisconnect from None
    return Response(answer, media_type=JSON)
