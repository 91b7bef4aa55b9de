"""Judge one slice."""

from __future__ import annotations

import time
from functools import partial
from typing import Any, Final

from fastapi import APIRouter, Depends, Request, Response
from starlette.requests import ClientDisconnect

from app import telemetry
from app.api import schemas
from app.api.answers import answer
from app.api.deps import LanguageDep, Services, ServicesDep, authorise
from app.api.examples import PREDICT_ANSWERS
from app.api.parameters import PredictParameters, parse_parameters
from app.api.problems import responses_for
from app.api.rendered import SLICE_CONTENT, Rendered, Renderer, slice_format, slice_renderer
from app.api.upload import Upload, read_upload
from app.imaging.read import read_slice
from app.inference.detector import Detector
from app.inference.diagnose import diagnose
from app.inference.engine import Abandoned
from app.inference.model import Model
from app.inference.prediction import Prediction

router = APIRouter(prefix="/v1", tags=["predict"], dependencies=[Depends(authorise)])

PARAMETERS: Final = {
    "roi": "column,row of the nodule in pixels of the sent image, e.g. 312,201. Without it: all candidates.",
    "pixel_spacing_mm": "Pixel spacing in mm, one number or row,column, for images that do not state it, e.g. 0.7.",
    "window": "center,width in HU with which an 8- or 16-bit picture was written, e.g. -600,1500.",
    "frame": "Frame of a multi-frame image, 1 is the first.",
    "explain": "true adds the class-activation map of each finding.",
}
BINARY: Final = {"schema": {"type": "string", "format": "binary"}}
# Written by hand: the operation takes a form or a raw body, which FastAPI's signature cannot say. Swagger UI fills a
# text field without example with "string" and sends that along.
FIELDS: Final = {name: {"type": "string", "example": "", "description": text} for name, text in PARAMETERS.items()}
QUERY: Final = [
    {
        "name": name,
        "in": "query",
        "schema": {"type": "string"},
        "description": f"With a raw body (a form has it as a field): {text}",
    }
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
                    **FIELDS,
                },
            }
        },
        **dict.fromkeys(("application/dicom", "image/png", "image/jpeg", "image/tiff"), BINARY),
        "application/octet-stream": BINARY,
    },
}
ANSWERS: Final = {"application/json": PREDICT_ANSWERS, **SLICE_CONTENT}
DESCRIPTION: Final = (
    "Post one CT slice as a form or as a raw body. With `roi` the nodule there is judged; without it every candidate "
    "found in the lungs, and the slice as a whole.\n\n"
    "`Accept` chooses the format of the answer: JSON, DICOM objects, a FHIR bundle, or the slice as a picture.\n\n"
    "To try it here: download [a phantom slice](/docs/example-slice.dcm), choose it as `file`, and execute."
)


@router.post(
    "/predict",
    summary="Judge one CT slice",
    description=DESCRIPTION,
    response_model=schemas.Answer,
    responses={
        200: {"description": "The judgement, or why there is none.", "content": ANSWERS},
        **responses_for(400, 401, 406, 408, 413, 415, 422, 503, 500),
    },
    openapi_extra={"requestBody": REQUEST_BODY, "parameters": QUERY},
)
async def predict(
    request: Request,
    services: ServicesDep,
    language: LanguageDep,
) -> Response:
    """Read the upload, judge it off the event loop, write the answer."""
    started = time.perf_counter()
    wanted = slice_format(request)
    model, detector = services.registry.model(), services.registry.detector()
    upload = await read_upload(request, services.slice_limit)
    parameters = parse_parameters(upload.parameters)
    render = slice_renderer(wanted, upload.data, parameters.roi_px, model, detector, language)
    work = partial(_judge, upload, parameters, model, detector, render)
    try:
        prediction, decode_ms, rendered = await services.engine.submit(work, len(upload.data), request.is_disconnected)
    except Abandoned:
        raise ClientDisconnect from None
    timing = {
        "decode": decode_ms,
        "search": prediction.timing.search_ms,
        "infer": prediction.timing.infer_ms,
        "total": (time.perf_counter() - started) * 1000,
    }
    _count(services, prediction, timing)
    headers = {"Content-Language": language, "Vary": "Accept, Accept-Language"}
    if rendered is not None:
        return rendered.response(headers)
    body = answer(
        prediction,
        model.bundle,
        detector if parameters.roi_px is None else None,
        request_id=telemetry.request_id.get() or "",
        language=language,
        explain=parameters.explain,
        timing_ms=timing,
        notes=parameters.notes,
    )
    return Response(body.model_dump_json(), media_type="application/json", headers=headers)


def _judge(
    upload: Upload, parameters: PredictParameters, model: Model, detector: Detector, render: Renderer | None
) -> tuple[Prediction, float, Rendered | None]:
    started = time.perf_counter()
    ct_slice = read_slice(upload.data, parameters.options)
    decode_ms = (time.perf_counter() - started) * 1000
    prediction = diagnose(ct_slice, parameters.roi_px, model, detector)
    return prediction, decode_ms, None if render is None else render(ct_slice, prediction)


def _count(services: Services, prediction: Prediction, timing_ms: dict[str, float]) -> None:
    services.metrics.decisions.labels(prediction.decision).inc()
    for stage, ms in timing_ms.items():
        services.metrics.stages.labels(stage).observe(ms / 1000)
