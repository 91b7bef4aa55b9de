"""Judge one slice."""

from __future__ import annotations

import time
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request, Response

from app import telemetry
from app.api import schemas
from app.api.deps import LanguageDep, Services, ServicesDep, authorise
from app.api.examples import PREDICT_ANSWERS
from app.api.parameters import PredictParameters, parse_parameters
from app.api.problems import responses_for
from app.api.upload import Upload, read_upload
from app.imaging.read import read_slice
from app.inference.diagnose import diagnose
from app.inference.model import Model
from app.inference.prediction import Prediction

router = APIRouter(prefix="/v1", tags=["predict"], dependencies=[Depends(authorise)])

ROI_TEXT: Final = "column,row of the nodule in pixels of the sent image, e.g. 312,201. Without it: all candidates."
SPACING_TEXT: Final = "Pixel spacing in mm, one number or row,column, for images that do not state it, e.g. 0.7."
WINDOW_TEXT: Final = "center,width in HU with which an 8- or 16-bit picture was written, e.g. -600,1500."
FRAME_TEXT: Final = "Frame of a multi-frame image, 1 is the first."
EXPLAIN_TEXT: Final = "true adds the class-activation map of each finding."
RAW: Final = "With a raw body (a form has it as a field): "
BINARY: Final = {"schema": {"type": "string", "format": "binary"}}
# Swagger UI fills a text field without example with "string" and sends that along.
TEXT: Final = {"type": "string", "example": ""}
# Written by hand: the operation takes a form or a raw body, which FastAPI's signature cannot say.
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
                    "roi": {**TEXT, "description": ROI_TEXT},
                    "pixel_spacing_mm": {**TEXT, "description": SPACING_TEXT},
                    "window": {**TEXT, "description": WINDOW_TEXT},
                    "frame": {**TEXT, "description": FRAME_TEXT},
                    "explain": {**TEXT, "description": EXPLAIN_TEXT},
                },
            }
        },
        **dict.fromkeys(("application/dicom", "image/png", "image/jpeg", "image/tiff"), BINARY),
        "application/octet-stream": BINARY,
    },
}
DESCRIPTION: Final = (
    "Post one CT slice as a form or as a raw body. With `roi` the nodule there is judged; without it every candidate "
    "found in the lungs, and the slice as a whole.\n\n"
    "To try it here: download [a phantom slice](/docs/example-slice.dcm), choose it as `file`, and execute."
)


@router.post(
    "/predict",
    summary="Judge one CT slice",
    description=DESCRIPTION,
    response_model=schemas.Answer,
    responses={
        200: {"description": "The judgement, or why there is none.", "content": {"application/json": PREDICT_ANSWERS}},
        **responses_for(400, 401, 413, 415, 422, 503, 500),
    },
    openapi_extra={"requestBody": REQUEST_BODY},
)
async def predict(
    request: Request,
    services: ServicesDep,
    language: LanguageDep,
    # Declared for the contract; read together with the form's fields in `read_upload`.
    roi: Annotated[str | None, Query(description=RAW + ROI_TEXT)] = None,  # noqa: ARG001
    pixel_spacing_mm: Annotated[str | None, Query(description=RAW + SPACING_TEXT)] = None,  # noqa: ARG001
    window: Annotated[str | None, Query(description=RAW + WINDOW_TEXT)] = None,  # noqa: ARG001
    frame: Annotated[str | None, Query(description=RAW + FRAME_TEXT)] = None,  # noqa: ARG001
    explain: Annotated[str | None, Query(description=RAW + EXPLAIN_TEXT)] = None,  # noqa: ARG001
) -> Response:
    """Read the upload, judge it off the event loop, write the answer."""
    started = time.perf_counter()
    model = services.registry.model()
    upload = await read_upload(request, services.settings.max_body_mb * 1024 * 1024)
    parameters = parse_parameters(upload.parameters)
    prediction, decode_ms = await services.engine.submit(lambda: _judge(upload, parameters, model))
    timing = {
        "decode": decode_ms,
        "search": prediction.timing.search_ms,
        "infer": prediction.timing.infer_ms,
        "total": (time.perf_counter() - started) * 1000,
    }
    _count(services, prediction, timing)
    body = schemas.answer(
        prediction,
        model.bundle,
        request_id=telemetry.request_id.get() or "",
        language=language,
        explain=parameters.explain,
        timing_ms=timing,
        notes=parameters.notes,
    )
    headers = {"Content-Language": language, "Vary": "Accept-Language"}
    return Response(body.model_dump_json(), media_type="application/json", headers=headers)


def _judge(upload: Upload, parameters: PredictParameters, model: Model) -> tuple[Prediction, float]:
    started = time.perf_counter()
    ct_slice = read_slice(upload.data, parameters.options)
    decode_ms = (time.perf_counter() - started) * 1000
    return diagnose(ct_slice, parameters.roi_px, model), decode_ms


def _count(services: Services, prediction: Prediction, timing_ms: dict[str, float]) -> None:
    services.metrics.decisions.labels(prediction.decision).inc()
    for stage, ms in timing_ms.items():
        services.metrics.stages.labels(stage).observe(ms / 1000)
