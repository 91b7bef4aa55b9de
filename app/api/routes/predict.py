"""Judge one slice."""

from __future__ import annotations

import time
from functools import partial
from typing import Any, Final

from fastapi import APIRouter, Depends, Request, Response
from fastapi.routing import APIRoute

from app import telemetry
from app.api import schemas
from app.api.deps import LanguageDep, Services, ServicesDep, authorise, bearer
from app.api.examples import PREDICT_ANSWERS
from app.api.language import PARAMETER, preferred_language
from app.api.problems import responses_for
from app.api.refusal import EXPECTED
from app.api.rendered import SLICE_CONTENT, slice_format
from app.api.slices import Job, judge_slice, render_slice
from app.api.upload import read_upload
from app.errors import SeriesTooLarge, SpoolFull, UnfitSeries
from app.security import announced_bytes, has_left

router = APIRouter(prefix="/v1", tags=["predict"], dependencies=[Depends(authorise)])

PARAMETERS: Final = {
    "roi": "column,row of the nodule in pixels of the sent image, e.g. 312,201. Without it: all candidates.",
    "pixel_spacing_mm": "Pixel spacing in mm, one number or row,column, for images that do not state it, e.g. 0.7.",
    "window": "center,width in HU with which an 8- or 16-bit picture was written, e.g. -600,1500.",
    "frame": "Frame of a multi-frame image, 1 is the first.",
    "explain": "true adds the class-activation map of each finding.",
}
BINARY: Final = {"schema": {"type": "string", "format": "binary"}}
# Written by hand: the operation takes a form or a raw body, which FastAPI's signature cannot say. A form may have the
# parameters as fields too, which the description says: shown twice, nobody knows which of the two to fill in.
SCHEMAS: Final = {"frame": {"type": "integer", "minimum": 1}, "explain": {"type": "boolean"}}
QUERY: Final = [
    {"name": name, "in": "query", "schema": SCHEMAS.get(name, {"type": "string"}), "description": text}
    for name, text in PARAMETERS.items()
]
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
                },
            }
        },
        **dict.fromkeys(("application/dicom", "image/png", "image/jpeg", "image/tiff"), BINARY),
        "application/octet-stream": BINARY,
    },
}
OF_OTHERS: Final = (UnfitSeries, SeriesTooLarge, SpoolFull)
ANSWERS: Final = {"application/json": PREDICT_ANSWERS, **SLICE_CONTENT}
DESCRIPTION: Final = (
    "Post one CT slice as a form or as a raw body. With `roi` the nodule there is judged; without it every candidate "
    "found in the lungs, and the slice as a whole. A form may have the parameters of the query as fields instead.\n\n"
    "`Accept` chooses the format of the answer: JSON, DICOM objects, a FHIR bundle, or the slice as a picture.\n\n"
    "To try it here: download [a phantom slice](docs/example-slice.dcm), choose it as `file`, fill in `148,240` as "
    "`roi`, where its nodule is, and execute."
)


@router.post(
    "/predict",
    summary="Judge one CT slice",
    description=DESCRIPTION,
    response_model=schemas.Answer,
    responses={
        200: {"description": "The judgement, or why there is none.", "content": ANSWERS},
        **responses_for(400, 401, 406, 408, 413, 415, 422, 503, 500, without=OF_OTHERS),
    },
    openapi_extra={"requestBody": REQUEST_BODY, "parameters": [*QUERY, PARAMETER]},
)
async def predict(
    request: Request,
    services: ServicesDep,
    language: LanguageDep,
) -> Response:
    """Read the upload, have it judged, answer."""
    started = time.perf_counter()
    with services.engine.coming(announced_bytes(request), request.scope.get(EXPECTED)):
        wanted = slice_format(request)
        services.registry.model()
        upload = await read_upload(request, services.slice_limit)
    headers = {"Content-Language": language, "Vary": "Accept, Accept-Language"}
    age_ms = (time.perf_counter() - started) * 1000
    job = Job(upload.data, upload.parameters, language, telemetry.request_id.get() or "", age_ms)
    gone = partial(has_left, request)
    if wanted != "json":
        return (await render_slice(services, job, wanted, gone)).response(headers)
    body = await judge_slice(services, job, gone)
    return Response(body, media_type="application/json", headers=headers)


(ROUTE,) = (route for route in router.routes if isinstance(route, APIRoute))


async def predict_directly(request: Request) -> Response:
    """As the operation above, without FastAPI's solving of dependencies (see `app.api.direct`)."""
    services: Services = request.app.state.services
    if services.settings.api_token is not None:
        await authorise(services, await bearer(request))
    return await predict(request, services, preferred_language(request.headers.get("accept-language")))
