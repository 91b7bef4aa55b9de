"""DICOMweb (PS3.18): images in by STOW-RS, results out by QIDO-RS and WADO-RS."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request, Response
from fastapi.concurrency import contextmanager_in_threadpool
from fastapi.responses import StreamingResponse

from app import telemetry
from app.api.deps import Services, ServicesDep, actor_of, authorise
from app.api.dicomweb.intake import Intake
from app.api.dicomweb.multipart_related import DICOM, RELATED, RelatedReader, related
from app.api.dicomweb.queries import Level, Query, search
from app.api.negotiation import media_ranges
from app.api.problems import responses_for
from app.api.uploads.body import body_chunks
from app.audit.event import Operation
from app.delivery.spool import Reception
from app.delivery.worker import Delivery
from app.errors import (
    DecoderUnavailable,
    DicomwebOff,
    SecondOpinionOff,
    UnknownModel,
    UnknownResult,
    UnknownVersion,
    UnreadableText,
    UnusableTensors,
)
from app.reports.transfer_syntax import uncompressed

JSON: Final = "application/dicom+json"
ROOT: Final = "/dicom-web"
BINARY: Final = {"schema": {"type": "string", "format": "binary"}}
DATASET: Final = {"schema": {"type": "object", "description": "A data set as DICOM JSON (PS3.18 F)."}}
DATASETS: Final = {"schema": {"type": "array", "items": DATASET["schema"]}}
QUERIED: Final = {"study": "StudyInstanceUID", "accession": "AccessionNumber", "patient": "PatientID"}
OF_STUDY: Final = "/studies/{study}"
OF_SERIES: Final = "/studies/{study}/series/{series}"
OF_INSTANCE: Final = "/studies/{study}/series/{series}/instances/{instance}"
FAILED: Final = {
    "00081198": {
        "vr": "SQ",
        "Value": [
            {
                "00081150": {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.2"]},
                "00081155": {"vr": "UI", "Value": ["1.2.826.0.1.3680043.10.511.3.1"]},
                "00081197": {"vr": "US", "Value": [272]},
            }
        ],
    }
}
SOME_FAILED: Final = {**DATASET, "example": FAILED}
NOT_OF_RESULTS: Final = (DecoderUnavailable, SecondOpinionOff, UnknownModel, UnknownVersion)
OF_OTHERS: Final = (DecoderUnavailable, SecondOpinionOff, UnreadableText, UnusableTensors)
STORED: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "All instances are stored.", "content": {JSON: DATASET}},
    202: {"description": "Some failed, or are no CT images and are not kept (B006).", "content": {JSON: SOME_FAILED}},
    409: {"description": "None is stored.", "content": {JSON: SOME_FAILED}},
    **responses_for(400, 406, 408, 413, 415, 501, 503, 507, 500, without=OF_OTHERS),
}
REQUEST_BODY: Final[dict[str, Any]] = {
    "requestBody": {"required": True, "content": {f'{RELATED}; type="{DICOM}"': BINARY, DICOM: BINARY}}
}
STORE: Final = (
    "Send CT instances by STOW-RS, a series in one request or in several. The answer comes once they are parsed; they "
    "are judged when the series is complete, and the results are sent to the configured destination and can be found "
    "here. Other objects are acknowledged and left out."
)
FOUND: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "What matches; may be empty.", "content": {JSON: DATASETS}},
    **responses_for(400, 406, 501, 503, 507, 500, without=OF_OTHERS),
}
RETRIEVED: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "The objects.", "content": {f'{RELATED}; type="{DICOM}"': BINARY, DICOM: BINARY}},
    **responses_for(404, 406, 501, 503, 507, 500, without=NOT_OF_RESULTS),
}
DESCRIBED: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "The objects' attributes without pixels.", "content": {JSON: DATASETS}},
    **responses_for(404, 406, 501, 503, 507, 500, without=NOT_OF_RESULTS),
}

router = APIRouter(prefix=ROOT, tags=["dicomweb"], dependencies=[Depends(authorise)])


async def delivery(services: ServicesDep) -> Delivery:
    """The spool and the results; raises DicomwebOff where DICOMweb is off."""
    if services.delivery is None:
        raise DicomwebOff(
            found="a service without a folder for DICOMweb",
            expected="LUNGSCOPE_SPOOL_DIR",
            remedy="Ask the operator of this service; /v1/studies works without it.",
        )
    return services.delivery


DeliveryDep = Annotated[Delivery, Depends(delivery)]


@router.post(
    "/studies",
    summary="Store instances",
    description=STORE,
    responses=STORED,
    openapi_extra=REQUEST_BODY,
)
async def store(request: Request, services: ServicesDep, delivery: DeliveryDep) -> Response:
    """STOW-RS, any study."""
    return await _store(request, services, delivery, None)


@router.post(
    OF_STUDY,
    summary="Store instances of one study",
    description=STORE,
    responses=STORED,
    openapi_extra=REQUEST_BODY,
)
async def store_in_study(request: Request, services: ServicesDep, delivery: DeliveryDep, study: str) -> Response:
    """STOW-RS, one study: instances of others fail."""
    return await _store(request, services, delivery, study)


async def _store(request: Request, services: Services, delivery: Delivery, study: str | None) -> Response:
    media_ranges(request).require(JSON)
    services.records.require()
    await asyncio.to_thread(delivery.watch.require)
    with delivery.watch.guard():
        async with contextmanager_in_threadpool(delivery.spool.reception()) as reception:
            intake = await _read_instances(request, services, reception, study)
            status, pieces = await asyncio.to_thread(intake.answer)
            await asyncio.to_thread(reception.commit)
    delivery.watch.succeeded()
    for outcome, count in intake.counts().items():
        services.metrics.stow_instances(outcome).inc(count)
    await _put_on_record(services, request, "store", intake.subject(), intake.counts())
    if len(pieces) == 1:
        return Response(pieces[0], status, media_type=JSON)
    return StreamingResponse(_in_pieces(pieces), status, media_type=JSON)


async def _in_pieces(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def _read_instances(request: Request, services: Services, reception: Reception, study: str | None) -> Intake:
    with closing(Intake(reception, study)) as intake:
        reader = RelatedReader(request.headers.get("content-type", ""), intake, services.settings.max_parts)
        async for chunk in body_chunks(request, services.store_limit):
            # It writes to disk, and parses what is complete.
            await asyncio.to_thread(reader.feed, chunk)
        await asyncio.to_thread(reader.finish)
        return intake


async def _put_on_record(
    services: Services,
    request: Request,
    operation: Operation,
    subject: Mapping[str, str | Sequence[str]],
    details: Mapping[str, int],
) -> None:
    """It writes to disk, in a thread; raises AuditFull, AuditUnavailable."""
    if services.records.trail is not None:
        request_id, actor = telemetry.request_id.get(), actor_of(request)
        await asyncio.to_thread(
            services.records.happened, operation, actor, request_id, subject=subject, details=details
        )


@router.get("/studies", summary="Find studies with results", responses=FOUND)
async def find_studies(request: Request, services: ServicesDep, delivery: DeliveryDep) -> Response:
    """QIDO-RS."""
    return await _find(request, services, delivery, "studies")


@router.get("/series", summary="Find series of results", responses=FOUND)
async def find_series(request: Request, services: ServicesDep, delivery: DeliveryDep) -> Response:
    """QIDO-RS."""
    return await _find(request, services, delivery, "series")


@router.get("/instances", summary="Find result objects", responses=FOUND)
async def find_instances(request: Request, services: ServicesDep, delivery: DeliveryDep) -> Response:
    """QIDO-RS."""
    return await _find(request, services, delivery, "instances")


@router.get(OF_STUDY + "/series", summary="Find the series of results of a study", responses=FOUND)
async def find_series_of_study(request: Request, services: ServicesDep, delivery: DeliveryDep, study: str) -> Response:
    """QIDO-RS."""
    return await _find(request, services, delivery, "series", study)


@router.get(OF_STUDY + "/instances", summary="Find the result objects of a study", responses=FOUND)
async def find_instances_of_study(
    request: Request, services: ServicesDep, delivery: DeliveryDep, study: str
) -> Response:
    """QIDO-RS."""
    return await _find(request, services, delivery, "instances", study)


@router.get(OF_SERIES + "/instances", summary="Find the result objects of a series", responses=FOUND)
async def find_instances_of_series(
    request: Request, services: ServicesDep, delivery: DeliveryDep, study: str, series: str
) -> Response:
    """QIDO-RS."""
    return await _find(request, services, delivery, "instances", study, series)


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


async def _find(request: Request, services: Services, delivery: Delivery, level: Level, *scope: str) -> Response:
    media_ranges(request).require(JSON)
    services.records.require()
    query = Query.parse(request.query_params.multi_items())
    root = str(request.base_url).rstrip("/") + ROOT

    def work() -> tuple[int, str]:
        found = search(_attributes(delivery, delivery.store.find(*scope)), query, level, root)
        return len(found), json.dumps(found, ensure_ascii=False)

    with delivery.watch.guard():
        count, text = await asyncio.to_thread(work)
    await _put_on_record(services, request, "find_results", _asked_for(request, *scope), {"found": count})
    return Response(text, media_type=JSON)


async def _describe(request: Request, services: Services, delivery: Delivery, *scope: str) -> Response:
    media_ranges(request).require(JSON)
    services.records.require()
    with delivery.watch.guard():
        found = await asyncio.to_thread(_found, delivery, *scope)
        described = await asyncio.to_thread(lambda: f"[{','.join(_attributes(delivery, found))}]")
    await _put_on_record(services, request, "retrieve_results", _subject(*scope), {"instances": len(found)})
    return Response(described, media_type=JSON)


async def _retrieve(request: Request, services: Services, delivery: Delivery, *scope: str) -> Response:
    wanted = media_ranges(request)
    services.records.require()
    with delivery.watch.guard():
        found = await asyncio.to_thread(_found, delivery, *scope)
        await _put_on_record(services, request, "retrieve_results", _subject(*scope), {"instances": len(found)})
        kept = (content for uid in found if (content := delivery.store.content(uid)) is not None)
        files = map(uncompressed, kept) if wanted.uncompressed else kept
        if len(found) == 1 and wanted.prefers(DICOM, RELATED):
            return Response(await asyncio.to_thread(b"".join, files), media_type=DICOM)
    wanted.require(RELATED)
    # Starlette asks for each part in a thread.
    content_type, body = related(files)
    return StreamingResponse(body, headers={"Content-Type": content_type})


def _subject(study: str = "", series: str = "", instance: str = "") -> dict[str, str]:
    return {"study": study, "series": series, "instance": instance}


def _asked_for(request: Request, *scope: str) -> dict[str, str]:
    """The study and so on of a path, and those of the query."""
    asked = {kind: request.query_params.get(keyword, "") for kind, keyword in QUERIED.items()}
    return {**asked, **{kind: uid for kind, uid in _subject(*scope).items() if uid}}


def _found(delivery: Delivery, *scope: str) -> Sequence[str]:
    if uids := delivery.store.find(*scope):
        return uids
    raise UnknownResult(
        found="no result of that study, series or instance",
        expected="a result of this service that has not expired",
        remedy="GET /dicom-web/studies lists the studies with results; source images are not kept.",
    )


def _attributes(delivery: Delivery, uids: Sequence[str]) -> Iterator[str]:
    return (text for uid in uids if (text := delivery.store.attributes(uid)) is not None)
