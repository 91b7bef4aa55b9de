"""WADO-RS (PS3.18 10.4): results as files, what they say without their pixels, frames, and pictures."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import StreamingResponse

from app.api.deps import Services, ServicesDep, authorise
from app.api.dicomweb.answers import CONTENT_OF_MANY, format_of_many, many
from app.api.dicomweb.multipart_related import DICOM, RELATED, related
from app.api.dicomweb.stored import attributes_of, found_in, frame_numbers, subject, viewport_of
from app.api.negotiation import BINARY, OCTETS, PNG, RELATED_OCTETS, media_ranges
from app.api.problems import OF_JOBS, responses_for
from app.api.routes.dicomweb import OF_STUDY, ROOT, DeliveryDep, put_on_record
from app.delivery.worker import Delivery
from app.errors import (
    DecoderUnavailable,
    SecondOpinionOff,
    UnfitPair,
    UnknownModel,
    UnknownVersion,
    UnreadableText,
    UnusableTensors,
)
from app.reports.frames import Frames, PictureKind
from app.reports.transfer_syntax import uncompressed

OF_SERIES: Final = "/studies/{study}/series/{series}"
OF_INSTANCE: Final = "/studies/{study}/series/{series}/instances/{instance}"
JPEG: Final = "image/jpeg"
KINDS: Final[dict[str, PictureKind]] = {JPEG: "jpeg", PNG: "png"}
OF_OTHERS: Final = (DecoderUnavailable, SecondOpinionOff, UnknownModel, UnknownVersion, *OF_JOBS)
ERRORS: Final = responses_for(404, 406, 501, 503, 507, 500, without=OF_OTHERS)
WITH_PARAMETERS: Final = {**responses_for(400, without=(UnfitPair, UnreadableText, UnusableTensors)), **ERRORS}
RETRIEVED: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "The objects.", "content": {f'{RELATED}; type="{DICOM}"': BINARY, DICOM: BINARY}},
    **ERRORS,
}
DESCRIBED: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "The objects' attributes without pixels.", "content": CONTENT_OF_MANY},
    **ERRORS,
}
FRAMES: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "The frames without compression, a part each.", "content": {RELATED_OCTETS: BINARY}},
    **WITH_PARAMETERS,
}
RENDERED: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "A picture of one frame.", "content": {JPEG: BINARY, PNG: BINARY}},
    **WITH_PARAMETERS,
}

router = APIRouter(prefix=ROOT, tags=["dicomweb"], dependencies=[Depends(authorise)])


@router.get(OF_STUDY, summary="Retrieve the results of a study", responses=RETRIEVED)
async def retrieve_study(request: Request, services: ServicesDep, delivery: DeliveryDep, study: str) -> Response:
    """WADO-RS."""
    return await _retrieve(request, services, delivery, study)


@router.get(OF_STUDY + "/metadata", summary="Describe the results of a study", responses=DESCRIBED)
async def study_metadata(request: Request, services: ServicesDep, delivery: DeliveryDep, study: str) -> Response:
    """WADO-RS."""
    return await _describe(request, services, delivery, study)


@router.get(OF_SERIES, summary="Retrieve a series of results", responses=RETRIEVED)
async def retrieve_series(
    request: Request, services: ServicesDep, delivery: DeliveryDep, study: str, series: str
) -> Response:
    """WADO-RS."""
    return await _retrieve(request, services, delivery, study, series)


@router.get(OF_SERIES + "/metadata", summary="Describe a series of results", responses=DESCRIBED)
async def series_metadata(
    request: Request, services: ServicesDep, delivery: DeliveryDep, study: str, series: str
) -> Response:
    """WADO-RS."""
    return await _describe(request, services, delivery, study, series)


@router.get(OF_INSTANCE, summary="Retrieve a result object", responses=RETRIEVED)
async def retrieve_instance(
    request: Request, services: ServicesDep, delivery: DeliveryDep, study: str, series: str, instance: str
) -> Response:
    """WADO-RS."""
    return await _retrieve(request, services, delivery, study, series, instance)


@router.get(
    OF_INSTANCE + "/metadata",
    summary="Describe a result object",
    responses=DESCRIBED,
)
async def instance_metadata(
    request: Request, services: ServicesDep, delivery: DeliveryDep, study: str, series: str, instance: str
) -> Response:
    """WADO-RS."""
    return await _describe(request, services, delivery, study, series, instance)


@router.get(OF_INSTANCE + "/frames/{frames}", summary="Retrieve frames of a result object", responses=FRAMES)
async def retrieve_frames(
    request: Request, services: ServicesDep, delivery: DeliveryDep, study: str, series: str, instance: str, frames: str
) -> Response:
    """WADO-RS, frames by their numbers between commas."""
    wanted = media_ranges(request).best(RELATED_OCTETS, OCTETS)
    numbers = frame_numbers(frames)
    pixels = await _of_instance(
        request,
        services,
        delivery,
        lambda of: [of.content(number) for number in numbers],
        *(study, series, instance),
    )
    if wanted == OCTETS and len(pixels) == 1:
        return Response(pixels[0], media_type=OCTETS)
    media_ranges(request).require(RELATED_OCTETS)
    content_type, body = related(pixels, OCTETS)
    return StreamingResponse(body, headers={"Content-Type": content_type})


@router.get(OF_INSTANCE + "/rendered", summary="Retrieve a picture of a result object", responses=RENDERED)
async def render_instance(
    request: Request, services: ServicesDep, delivery: DeliveryDep, study: str, series: str, instance: str
) -> Response:
    """WADO-RS, the first frame where there are several."""
    return await _render(request, services, delivery, 1, study, series, instance)


@router.get(OF_INSTANCE + "/frames/{frames}/rendered", summary="Retrieve a picture of a frame", responses=RENDERED)
async def render_frame(
    request: Request, services: ServicesDep, delivery: DeliveryDep, study: str, series: str, instance: str, frames: str
) -> Response:
    """WADO-RS, the first of the frames where several are asked for: a picture shows one."""
    return await _render(request, services, delivery, frame_numbers(frames)[0], study, series, instance)


async def _render(request: Request, services: Services, delivery: Delivery, number: int, *instance: str) -> Response:
    kind = media_ranges(request).best(JPEG, PNG)
    viewport = viewport_of(request.query_params.get("viewport"))
    picture = await _of_instance(
        request, services, delivery, lambda of: of.picture(number, KINDS[kind], viewport), *instance
    )
    return Response(picture, media_type=kind)


async def _of_instance(
    request: Request, services: Services, delivery: Delivery, take: Callable[[Frames], Any], *instance: str
) -> Any:
    """What `take` makes of the frames of one instance, once that is on record."""
    services.records.require()

    def work() -> Any:
        (uid,) = found_in(delivery, *instance)
        return take(Frames(delivery.store.content(uid) or b""))

    with delivery.watch.guard():
        taken = await asyncio.to_thread(work)
    await put_on_record(services, request, "retrieve_results", subject(*instance), {"instances": 1})
    return taken


async def _describe(request: Request, services: Services, delivery: Delivery, *scope: str) -> Response:
    wanted = format_of_many(request)
    services.records.require()
    with delivery.watch.guard():
        found = await asyncio.to_thread(found_in, delivery, *scope)
        described = await asyncio.to_thread(lambda: many(wanted, attributes_of(delivery, found)))
    await put_on_record(services, request, "retrieve_results", subject(*scope), {"instances": len(found)})
    return described


async def _retrieve(request: Request, services: Services, delivery: Delivery, *scope: str) -> Response:
    wanted = media_ranges(request)
    services.records.require()
    with delivery.watch.guard():
        found = await asyncio.to_thread(found_in, delivery, *scope)
        await put_on_record(services, request, "retrieve_results", subject(*scope), {"instances": len(found)})
        kept = (content for uid in found if (content := delivery.store.content(uid)) is not None)
        files = map(uncompressed, kept) if wanted.uncompressed else kept
        if len(found) == 1 and wanted.prefers(DICOM, RELATED):
            return Response(await asyncio.to_thread(b"".join, files), media_type=DICOM)
    wanted.require(RELATED)
    # Starlette asks for each part in a thread.
    content_type, body = related(files)
    return StreamingResponse(body, headers={"Content-Type": content_type})
