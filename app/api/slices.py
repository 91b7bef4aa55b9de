"""One uploaded slice to its answer, judged off the event loop."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial

from starlette.requests import ClientDisconnect

from app.api.answers import answer, as_json
from app.api.deps import Services
from app.api.parameters import PredictParameters, parse_parameters
from app.api.rendered import Format, Rendered, Renderer, slice_renderer
from app.imaging.read import read_slice
from app.inference.detector import Detector
from app.inference.diagnose import diagnose
from app.inference.engine import Abandoned
from app.inference.model import Model
from app.inference.prediction import Prediction
from app.inference.vocabulary import Language

Gone = Callable[[], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class Job:
    """A slice to be judged: its file, the parameters as they were sent, the language of the answer, and the request's
    id and age."""

    data: bytes | memoryview
    parameters: Mapping[str, str]
    language: Language
    request_id: str
    age_ms: float


async def judge_slice(services: Services, job: Job, gone: Gone) -> bytes:
    """The answer in JSON, counted.

    Raises the errors of bad input, Overloaded, and ClientDisconnect for a caller who was `gone` when the turn came.
    """
    parameters = parse_parameters(job.parameters)
    started = time.perf_counter()
    prediction, decode_ms, _ = await _judged(services, job, parameters, None, gone)
    timing_ms = _timing_ms(prediction, decode_ms, job.age_ms + _since_ms(started))
    body = answer(
        prediction,
        services.registry.model().bundle,
        services.registry.detector() if parameters.roi_px is None else None,
        request_id=job.request_id,
        language=job.language,
        explain=parameters.explain,
        timing_ms=timing_ms,
        notes=parameters.notes,
    )
    _count(services, prediction.decision, timing_ms)
    return as_json(body)


async def render_slice(services: Services, job: Job, wanted: Format, gone: Gone) -> Rendered:
    """The answer in another format, counted; raises NoDicomSource, ResultNotWritten and the errors of `judge_slice`."""
    parameters = parse_parameters(job.parameters)
    model, detector = services.registry.model(), services.registry.detector()
    render = slice_renderer(wanted, job.data, parameters.roi_px, model, detector, job.language, services.metrics)
    started = time.perf_counter()
    prediction, decode_ms, rendered = await _judged(services, job, parameters, render, gone)
    assert rendered is not None
    _count(services, prediction.decision, _timing_ms(prediction, decode_ms, job.age_ms + _since_ms(started)))
    return rendered


def _count(services: Services, decision: str, timing_ms: Mapping[str, float]) -> None:
    services.metrics.decisions(decision).inc()
    for stage, ms in timing_ms.items():
        services.metrics.stages(stage).observe(ms / 1000)


async def _judged(
    services: Services, job: Job, parameters: PredictParameters, render: Renderer | None, gone: Gone
) -> tuple[Prediction, float, Rendered | None]:
    model, detector = services.registry.model(), services.registry.detector()
    work = partial(_judge, job.data, parameters, model, detector, render)
    try:
        return await services.engine.submit(work, len(job.data), gone)
    except Abandoned:
        raise ClientDisconnect from None


def _judge(
    data: bytes | memoryview, parameters: PredictParameters, model: Model, detector: Detector, render: Renderer | None
) -> tuple[Prediction, float, Rendered | None]:
    started = time.perf_counter()
    ct_slice = read_slice(data, parameters.options)
    decode_ms = _since_ms(started)
    prediction = diagnose(ct_slice, parameters.roi_px, model, detector)
    return prediction, decode_ms, None if render is None else render(ct_slice, prediction)


def _timing_ms(prediction: Prediction, decode_ms: float, total_ms: float) -> dict[str, float]:
    timing = prediction.timing
    return {"decode": decode_ms, "search": timing.search_ms, "infer": timing.infer_ms, "total": total_ms}


def _since_ms(started: float) -> float:
    return (time.perf_counter() - started) * 1000
