"""DICOMweb (PS3.18): images in by STOW-RS."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request, Response
from fastapi.concurrency import contextmanager_in_threadpool

from app import telemetry
from app.api.deps import Services, ServicesDep, actor_of, authorise
from app.api.dicomweb.answers import CONTENT_OF_ONE, DATASET, DICOM_JSON, XML, format_of_one, one
from app.api.dicomweb.multipart_related import DICOM, RELATED, RelatedReader
from app.api.dicomweb.stow_answer import answer_of
from app.api.negotiation import BINARY, DICOM_XML
from app.api.problems import OF_JOBS, responses_for
from app.api.uploads.body import body_chunks
from app.audit.event import Operation
from app.delivery.spool.spool import Reception
from app.delivery.worker import Delivery
from app.errors import DecoderUnavailable, DicomwebOff, SecondOpinionOff, UnfitPair, UnreadableText, UnusableTensors
from app.intake import Intake

ROOT: Final = "/dicom-web"
OF_STUDY: Final = "/studies/{study}"
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
OF_OTHERS: Final = (DecoderUnavailable, SecondOpinionOff, UnfitPair, UnreadableText, UnusableTensors, *OF_JOBS)
SOME_FAILED: Final = {DICOM_JSON: {**DATASET, "example": FAILED}, DICOM_XML: XML}
STORED: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "All instances are stored.", "content": CONTENT_OF_ONE},
    202: {"description": "Some failed, or are no CT images and are not kept (B006).", "content": SOME_FAILED},
    409: {"description": "None is stored.", "content": SOME_FAILED},
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
    wanted = format_of_one(request)
    services.records.require()
    await asyncio.to_thread(delivery.watch.require)
    with delivery.watch.guard():
        await asyncio.to_thread(delivery.require_room)
        async with contextmanager_in_threadpool(delivery.spool.reception()) as reception:
            intake = await _read_instances(request, services, reception, study)
            status, pieces = await asyncio.to_thread(answer_of, intake)
            await asyncio.to_thread(delivery.received, intake.series(), intake.accessions())
            await asyncio.to_thread(reception.commit)
    delivery.watch.succeeded()
    for outcome, count in intake.counts().items():
        services.metrics.stow_instances(outcome).inc(count)
    await put_on_record(services, request, "store", intake.subject(), intake.counts())
    return one(wanted, pieces, status)


async def _read_instances(request: Request, services: Services, reception: Reception, study: str | None) -> Intake:
    with closing(Intake(reception, study)) as intake:
        reader = RelatedReader(request.headers.get("content-type", ""), intake, services.settings.max_parts)
        async for chunk in body_chunks(request, services.store_limit):
            # It writes to disk, and parses what is complete.
            await asyncio.to_thread(reader.feed, chunk)
        await asyncio.to_thread(reader.finish)
        return intake


async def put_on_record(
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
