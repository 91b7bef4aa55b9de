"""Give back the pixels of an upload in HU, as the models see them; nothing of it is kept."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Generator
from contextlib import closing
from functools import partial
from typing import Any, Final

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect

from app.api.connected import forget, while_connected
from app.api.contract import query_parameters
from app.api.deps import PlaceDep, ServicesDep, authorise
from app.api.negotiation import accepts_gzip, media_ranges
from app.api.problems import responses_for
from app.api.routes import predict, studies
from app.api.uploads.body import announced_bytes, has_left
from app.api.uploads.series import decode, read_study
from app.api.uploads.slice import read_upload
from app.errors import RoiOutsideImage, StorageFull
from app.inference.engine import Abandoned
from app.inference.series_lane import SeriesSlot
from app.judgement.parameters import OF_READING, Parameters, parse_parameters, parse_series_parameters
from app.judgement.pixels import written

router = APIRouter(prefix="/v1", tags=["pixels"], dependencies=[Depends(authorise)])

MEDIA_TYPE: Final = "application/octet-stream"
AHEAD: Final = 16  # pieces that may wait for a client that reads slowly: 8 MB of 512 x 512 slices
FORMAT: Final = (
    "One line of JSON that says how the rest is to be read, then the slices in spatial order as int16, little-endian, "
    "in HU. In gzip where the client accepts it."
)
CONTENT: Final[dict[str, Any]] = {MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}}
ANSWER: Final[dict[str, Any]] = {"description": FORMAT, "content": CONTENT}


@router.post(
    "/predict/pixels",
    summary="Read one CT slice",
    description="The pixels of what `/v1/predict` would judge, and their scale. The service keeps nothing of it.",
    response_class=Response,
    responses={
        200: ANSWER,
        **responses_for(400, 406, 408, 413, 415, 422, 503, 507, 500, without=(*predict.OF_OTHERS, RoiOutsideImage)),
    },
    openapi_extra={"requestBody": predict.REQUEST_BODY, "parameters": query_parameters(OF_READING)},
)
async def slice_pixels(request: Request, services: ServicesDep) -> Response:
    """Read the upload, answer with its pixels."""
    media_ranges(request).require(MEDIA_TYPE)
    compressed = accepts_gzip(request.headers)
    with services.engine.coming(announced_bytes(request)):
        upload = await read_upload(request, services.slice_limit)
    parameters = parse_parameters(upload.parameters)

    def work() -> bytes:
        image = services.judge.read(upload.data, parameters)
        return b"".join(written(image, parameters.options.window, compressed=compressed))

    try:
        content = await services.engine.submit(work, len(upload.data), partial(has_left, request))
    except Abandoned:
        raise ClientDisconnect from None
    return Response(content, media_type=MEDIA_TYPE, headers=_headers(compressed=compressed))


@router.post(
    "/studies/pixels",
    summary="Read one CT series",
    description="The pixels of what `/v1/studies` would judge, slice by slice, and their scale. The service keeps "
    "nothing of it.",
    response_class=Response,
    responses={
        200: ANSWER,
        **responses_for(400, 406, 408, 413, 415, 422, 503, 507, 500, without=(*studies.OF_OTHERS, StorageFull)),
    },
    openapi_extra={"requestBody": studies.REQUEST_BODY},
)
async def series_pixels(request: Request, services: ServicesDep, place: PlaceDep) -> Response:
    """Receive and decode the files in a place for one series, and stream the pixels from there."""
    media_ranges(request).require(MEDIA_TYPE)
    compressed = accepts_gzip(request.headers)
    upload = await read_study(request, services.study_limit, services.report_limit, services.settings.max_parts)
    parse_series_parameters(upload.parameters)
    slot = place()
    decoding = slot.run(partial(decode, upload.files, services.judge.builder(Parameters()), slot.cancelled))
    volume, _ = await while_connected(request, slot, decoding)
    pieces = written(volume, None, compressed=compressed)
    stream = _streamed(slot, pieces, services.settings.upload_patience_seconds)
    own = {**_headers(compressed=compressed), "X-Accel-Buffering": "no"}  # no proxy may gather the slices
    return StreamingResponse(stream, media_type=MEDIA_TYPE, headers=own)


async def _streamed(slot: SeriesSlot, pieces: Generator[bytes], patience_s: float) -> AsyncIterator[bytes]:
    """The pieces, made in the series' thread, at most AHEAD before the client has taken them. The place is free once
    all are made. It ends early for a client that takes none for `patience_s`: nobody holds a place by reading nothing.
    """
    loop, made = asyncio.get_running_loop(), asyncio.Queue[bytes | None]()
    room = threading.Semaphore(AHEAD)

    def work() -> None:
        with closing(pieces):  # and so let go of the volume, however long the rest waits for the client
            for piece in pieces:
                if not room.acquire(timeout=patience_s) or slot.cancelled():
                    return
                loop.call_soon_threadsafe(made.put_nowait, piece)

    def ended(running: asyncio.Task[None]) -> None:
        slot.close()
        made.put_nowait(None)
        forget(running)

    running = asyncio.create_task(slot.run(work))
    running.add_done_callback(ended)
    try:
        while (piece := await made.get()) is not None:
            yield piece
            room.release()
        running.result()
    finally:
        slot.cancel()
        room.release()


def _headers(*, compressed: bool) -> dict[str, str]:
    return {"Vary": "Accept-Encoding", **({"Content-Encoding": "gzip"} if compressed else {})}
