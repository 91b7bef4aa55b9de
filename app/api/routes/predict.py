"""Judge one slice."""

from __future__ import annotations

import time
from functools import partial
from typing import Any, Final

from fastapi import APIRouter, Depends, Request, Response
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect

from app import telemetry
from app.api.contract import CONTEXT_PART, query_parameters
from app.api.deps import LanguageDep, ServicesDep, actor_of, authorise
from app.api.early_answers import EXPECTED
from app.api.examples import PREDICT_ANSWERS
from app.api.negotiation import LANGUAGE_PARAMETER, SLICE_CONTENT, response, slice_format
from app.api.problems import responses_for
from app.api.uploads.body import announced_bytes, has_left
from app.api.uploads.slice import read_upload
from app.errors import SeriesTooLarge, SpoolFull, StorageFull, UnfitPair, UnfitSeries, UnreadableText, UnusableTensors
from app.inference.engine import Abandoned
from app.judgement.answer_types import Answer
from app.judgement.answers import json_answer
from app.judgement.formats import headers_of, render
from app.judgement.parameters import KNOWN, parse_parameters, require_fhir
from app.judgement.records import Receipt

router = APIRouter(prefix="/v1", tags=["predict"], dependencies=[Depends(authorise)])

BINARY: Final = {"schema": {"type": "string", "format": "binary"}}
# Written by hand: the operation takes a form or a raw body, which FastAPI's signature cannot say. A form may have the
# parameters as fields too, which the description says: shown twice, nobody knows which of the two to fill in.
QUERY: Final = query_parameters(KNOWN)
REQUEST_BODY: Final[dict[str, Any]] = {
    "required": True,
    "description": "One CT slice. Its type is decided by content.",
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["file"],
                "properties": {
                    "file": {"type": "string", "format": "binary", "description": "DICOM, PNG, JPEG or TIFF."},
                    "context": CONTEXT_PART,
                },
            }
        },
        **dict.fromkeys(("application/dicom", "image/png", "image/jpeg", "image/tiff"), BINARY),
        "application/octet-stream": BINARY,
    },
}
OF_OTHERS: Final = (UnfitPair, UnfitSeries, SeriesTooLarge, SpoolFull, StorageFull, UnreadableText, UnusableTensors)
ANSWERS: Final = {"application/json": PREDICT_ANSWERS, **SLICE_CONTENT}
DESCRIPTION: Final = (
    "Post one CT slice as a form or as a raw body. With `roi` the nodule there is judged; without it every candidate "
    "found in the lungs, and the slice as a whole. A form may have the parameters of the query as fields instead.\n\n"
    "`Accept` chooses the format of the answer: JSON, DICOM objects, a FHIR bundle, the slice as a picture, or a "
    "case report as HTML or PDF.\n\n"
    "To try it here: download [a phantom slice](docs/example-slice.dcm), choose it as `file`, fill in `148,240` as "
    "`roi`, where its nodule is, and execute."
)


@router.post(
    "/predict",
    summary="Judge one CT slice",
    description=DESCRIPTION,
    response_model=Answer,
    responses={
        200: {"description": "The judgement, or why there is none.", "content": ANSWERS},
        **responses_for(400, 406, 408, 413, 415, 422, 503, 507, 500, without=OF_OTHERS),
    },
    openapi_extra={"requestBody": REQUEST_BODY, "parameters": [*QUERY, LANGUAGE_PARAMETER]},
)
async def predict(
    request: Request,
    services: ServicesDep,
    language: LanguageDep,
) -> Response:
    """Read the upload, have it judged, answer."""
    began = time.perf_counter()
    services.records.require()
    with services.engine.coming(announced_bytes(request), request.scope.get(EXPECTED)):
        wanted = slice_format(request)
        services.registry.models()
        upload = await read_upload(request, services.slice_limit)
    parameters = parse_parameters(upload.parameters)
    require_fhir(parameters, wanted)
    request_id = telemetry.request_id.get() or ""
    actor, records = actor_of(request), services.records

    def work() -> tuple[tuple[bytes, ...], Receipt | None]:
        judgement = services.judge.slice(upload.data, parameters, began)
        if wanted == "json" and not records.kept:
            return (json_answer(judgement, language, request_id),), None
        files = (
            () if wanted == "json" else render(judgement, wanted, language, headers_of(upload.data), services.metrics)
        )
        if not records.kept:
            return files, None
        attested = records.judged("judge_slice", actor, judgement, language, request_id)
        return files or (attested.answer,), attested.receipt

    try:
        files, receipt = await services.engine.submit(work, len(upload.data), partial(has_left, request))
    except Abandoned:
        raise ClientDisconnect from None
    return response(wanted, files, language, receipt)


(ROUTE,) = (route for route in router.routes if isinstance(route, APIRoute))
