"""Judge one series."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Final, TypeAlias

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import StreamingResponse

from app import telemetry
from app.api import events, problems
from app.api.connected import forget, while_connected
from app.api.contract import CONTEXT_PART, query_parameters
from app.api.deps import LanguageDep, Services, ServicesDep, TakePlace, actor_of, authorise, series_place
from app.api.events import Throttle
from app.api.examples import STUDY_ANSWERS, STUDY_EVENTS
from app.api.negotiation import LANGUAGE_PARAMETER, SERIES_CONTENT, headers, response, series_format
from app.api.problems import responses_for
from app.api.routes import jobs
from app.api.uploads.series import StudyUpload, decode, read_study
from app.api.uploads.slice import query_of
from app.errors import (
    DicomwebOff,
    FrameOutOfRange,
    FrameRequired,
    InvalidParameter,
    JobsOff,
    LungscopeError,
    PullOff,
    RoiOutsideImage,
    SpoolFull,
    StorageFull,
    UnfitPair,
    UnknownMethod,
    UnsupportedCharset,
    UnusableTensors,
)
from app.imaging.volume import CTVolume
from app.inference.series import Progress
from app.inference.series_lane import SeriesSlot
from app.inference.vocabulary import Language
from app.judgement.answer_types import Answer
from app.judgement.answers import json_answer
from app.judgement.beside_report import beside
from app.judgement.formats import Format, Headers, render
from app.judgement.parameters import (
    ASYNC,
    KNOWN_OF_SERIES,
    Parameters,
    parse_series_parameters,
    require_fhir,
    wants_job,
)
from app.judgement.records import Actor, Receipt

router = APIRouter(prefix="/v1", tags=["predict"], dependencies=[Depends(authorise)])

_Judged: TypeAlias = tuple[tuple[bytes, ...], Receipt | None]  # the files of an answer, and its receipt
BINARY: Final = {"schema": {"type": "string", "format": "binary"}}
REQUEST_BODY: Final[dict[str, Any]] = {
    "required": True,
    "description": "The DICOM files of one CT series in any order, or one zip of them. Other files are left out.",
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["files"],
                "properties": {
                    "files": {
                        "type": "array",
                        "items": {"type": "string", "format": "binary"},
                        "description": "DICOM files, or one zip.",
                    },
                    "report": {
                        "type": "string",
                        "description": "Text of a radiology report about the series; the answer compares both.",
                    },
                    "context": CONTEXT_PART,
                },
            }
        },
        **dict.fromkeys(("application/zip", "application/dicom", "application/octet-stream"), BINARY),
    },
}
QUERY: Final = query_parameters((*KNOWN_OF_SERIES, ASYNC))
NEVER: Final = (
    DicomwebOff,
    FrameRequired,
    FrameOutOfRange,
    PullOff,
    RoiOutsideImage,
    UnfitPair,
    UnknownMethod,
    UnsupportedCharset,
    UnusableTensors,
)
OF_OTHERS: Final = (*NEVER, JobsOff, SpoolFull, StorageFull)  # of those that judge a series at once
DESCRIPTION: Final = (
    "Post the files of one CT series as the parts of a form, or as one zip. Nodules are searched for in the lungs and "
    "followed through the slices. A form may have the parameters as fields instead, and the text of a `report`: the "
    "answer then says where its nodules and the findings agree.\n\n"
    "With `Accept: application/x-ndjson` the answer is one JSON object a line: `progress` events while it is judged, "
    "then one `result`, or one `problem`. Otherwise it is the result alone: JSON, DICOM objects, a FHIR bundle, or "
    "a case report as HTML or PDF. To go away stops the work.\n\n"
    "With `async=true` the answer is 202 once the files are on the disk, and `Location` is the address of the job. It "
    "goes the way of what comes by DICOMweb, and takes no other parameter.\n\n"
    "To try it here: download [a phantom series](docs/example-series.zip), add it as the only one of `files`, and "
    "execute."
)


@dataclass(frozen=True, slots=True)
class _Asked:
    """One series, the milliseconds that decoding it took, the headers that were kept, and the report beside it; its
    parameters and the digest of its files, the format and language of the answer, who asked, and the time at which the
    request began."""

    volume: CTVolume
    decode_ms: float
    headers: Headers
    report: str | None
    parameters: Parameters
    format: Format
    language: Language
    actor: Actor
    began: float
    input_digest: str | None


async def place_now(request: Request, services: ServicesDep) -> AsyncIterator[TakePlace | None]:
    """As `series_place`; None for who asks for a job, which takes a place when it is judged. Raises
    InvalidParameter."""
    if wants_job(query_of(request)):
        yield None
        return
    async with asynccontextmanager(series_place)(services) as place:
        yield place


PlaceNowDep = Annotated[TakePlace | None, Depends(place_now)]


@router.post(
    "/studies",
    summary="Judge one CT series",
    description=DESCRIPTION,
    response_model=Answer,
    responses={
        200: {
            "description": "The judgement, or why there is none.",
            "content": {"application/json": STUDY_ANSWERS, events.MEDIA_TYPE: STUDY_EVENTS, **SERIES_CONTENT},
        },
        202: jobs.ACCEPTED,
        **responses_for(400, 406, 408, 413, 415, 422, 501, 503, 507, 500, without=NEVER),
    },
    openapi_extra={"requestBody": REQUEST_BODY, "parameters": [*QUERY, LANGUAGE_PARAMETER]},
)
async def judge_study(request: Request, services: ServicesDep, language: LanguageDep, place: PlaceNowDep) -> Response:
    """Receive the files; then, in a place for one series, decode and judge them, and write the answer or stream it."""
    began = time.perf_counter()
    if place is None:
        return await jobs.submit(request, services)
    wanted = series_format(request)
    services.records.require()
    upload = await read_study(request, services.study_limit, services.report_limit, services.settings.max_parts)
    written: Format = "json" if wanted == "events" else wanted
    parameters = parse_series_parameters(upload.parameters)
    _require_json(upload, parameters, written)
    require_fhir(parameters, written)
    if parameters.second_opinion:
        services.judge.opinions.require()
    slot = place()
    builder = services.judge.builder(Parameters(), keep_headers=wanted in ("dicom", "uncompressed_dicom", "fhir"))
    decoding = slot.run(partial(decode, upload.files, builder, slot.cancelled))
    volume, decode_ms = await while_connected(request, slot, decoding)
    asked = _Asked(
        volume,
        decode_ms,
        builder.headers,
        upload.report,
        parameters,
        written,
        language,
        actor_of(request),
        began,
        builder.input_digest,
    )
    if wanted == "events":
        stream = _streamed(services, slot, asked)
        # No proxy may gather the lines before it passes them on.
        own = {**headers(language), "X-Accel-Buffering": "no"}
        return StreamingResponse(stream, media_type=events.MEDIA_TYPE, headers=own)
    files, receipt = await while_connected(request, slot, _judge(services, slot, asked, _tell_nobody))
    return response(written, files, language, receipt)


async def _judge(services: Services, slot: SeriesSlot, asked: _Asked, progress: Progress) -> _Judged:
    """The answer; the slot is free once it is written, however long the client takes to read it."""
    request_id = telemetry.request_id.get() or ""
    records, language = services.records, asked.language

    def work() -> _Judged:
        judgement = services.judge.series(
            asked.volume,
            asked.parameters,
            asked.decode_ms,
            progress,
            slot.cancelled,
            asked.began,
            asked.input_digest,
        )
        report = None if asked.report is None else beside(judgement, asked.report, services.reader)
        if asked.format == "json" and not records.kept:
            return (json_answer(judgement, language, request_id, report),), None
        files: tuple[bytes, ...] = ()
        if asked.format != "json":
            files = render(judgement, asked.format, language, asked.headers, services.metrics)
        if not records.kept:
            return files, None
        attested = records.judged("judge_series", asked.actor, judgement, language, request_id, report)
        return files or (attested.answer,), attested.receipt

    try:
        services.registry.models()
        return await slot.run(work)
    finally:
        slot.close()


def _require_json(upload: StudyUpload, parameters: Parameters, wanted: Format) -> None:
    """Raise InvalidParameter for a report or second opinions, which only an answer in JSON carries."""
    asked = "a report" if upload.report is not None else "second_opinion" if parameters.second_opinion else None
    if asked is not None and wanted != "json":
        raise InvalidParameter(
            found=f"{asked} with a request for another format than JSON",
            expected="JSON, which alone says where report and findings agree, and has second opinions",
            remedy=f"Ask for application/json, or leave {asked.removeprefix('a ')} out.",
        )


def _tell_nobody(_stage: str, _done: int, _of: int) -> None:
    pass


async def _streamed(services: Services, slot: SeriesSlot, asked: _Asked) -> AsyncIterator[bytes]:
    """Lines of progress, then a line with the result or the problem. When the client disconnects, this generator is
    cancelled."""
    loop, lines = asyncio.get_running_loop(), asyncio.Queue[bytes | None]()

    def tell(stage: str, done: int, of: int) -> None:
        loop.call_soon_threadsafe(lines.put_nowait, events.progress_line(stage, done, of))

    work = asyncio.create_task(_judge(services, slot, asked, Throttle(tell)))
    work.add_done_callback(lambda _: lines.put_nowait(None))
    try:
        while (text := await lines.get()) is not None:
            yield text
        yield _last_line(work, services, asked.actor)
    finally:
        slot.cancel()
        work.add_done_callback(forget)


def _last_line(work: asyncio.Task[_Judged], services: Services, actor: Actor) -> bytes:
    error = work.exception()
    if error is None:
        ((answer,), _) = work.result()
        return events.result_line(answer)
    code = error.code if isinstance(error, LungscopeError) else LungscopeError.code
    services.records.refused_request(actor, "/v1/studies", code)
    return events.line("problem", problems.body_of(error, services.metrics))
