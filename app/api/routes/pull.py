"""Have series fetched from the operator's archive, and judged."""

from __future__ import annotations

import asyncio
import time
import uuid
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from app import telemetry
from app.api.deps import Services, ServicesDep, authorise
from app.api.negotiation import JSON, media_ranges
from app.api.problems import OF_ARCHIVES, OF_FORMS, responses_for
from app.api.pulling import MAX_SERIES
from app.api.routes import jobs
from app.api.routes.dicomweb import put_on_record
from app.api.routes.jobs import JobsDep, location_of
from app.api.uploads.body import body_of
from app.delivery.database.pulls import Pull
from app.delivery.database.submissions import JobState, Submission
from app.delivery.spool.kept import HOUR_S
from app.delivery.worker import Delivery
from app.errors import InvalidParameter, PullOff, SpoolFull, UnsupportedMediaType, UnusableTensors
from app.imaging.values import is_uid

PATH: Final = "/v1/pull"
MAX_WAITING: Final = 10_000  # jobs: each is a line in the database, fetched one after the other


def _uid(text: str) -> str:
    if not is_uid(text):
        raise ValueError("no UID")
    return text


Uid = Annotated[str, AfterValidator(_uid), Field(max_length=64, examples=["1.2.840.113619.2.1"])]


class PullIn(BaseModel):
    """What is to be fetched: all CT series of a study, or some."""

    model_config = ConfigDict(extra="forbid", strict=True)

    study_instance_uid: Uid
    series_instance_uids: list[Uid] | None = Field(default=None, min_length=1, max_length=MAX_SERIES)


class PulledOut(BaseModel):
    """A job that was taken on."""

    id: str = Field(examples=[jobs.EXAMPLE_ID])
    state: JobState = Field(examples=["received"])


NEVER: Final = (*(kind for kind in jobs.NEVER if kind is not PullOff), *OF_FORMS, *OF_ARCHIVES, UnusableTensors)
BODY: Final[dict[str, Any]] = {
    "requestBody": {"required": True, "content": {JSON: {"schema": PullIn.model_json_schema()}}},
}
FETCHED: Final = {JSON: {"example": {"id": jobs.EXAMPLE_ID, "state": "received"}}}
router = APIRouter(prefix=PATH, tags=["jobs"], dependencies=[Depends(authorise)])


@router.post(
    "",
    summary="Have series fetched and judged",
    description="Fetches the CT series of a study, or those named, from the DICOMweb archive that the operator has "
    "set, by QIDO-RS and WADO-RS. The answer is 202 at once; `Location` is the address of the job, which is `received` "
    "until they are here. Then it goes on as one of `/v1/studies?async=true`.",
    status_code=HTTPStatus.ACCEPTED,
    response_model=PulledOut,
    responses={
        202: {"description": "They will be fetched.", "content": FETCHED, "headers": jobs.LOCATION},
        **responses_for(400, 406, 408, 413, 415, 501, 503, 507, 500, without=NEVER),
    },
    openapi_extra=BODY,
)
async def pull(request: Request, services: ServicesDep, delivery: JobsDep) -> JSONResponse:
    """Note what is to be fetched."""
    media_ranges(request).require(JSON)
    if services.settings.pull_url is None:
        raise nothing_to_ask()
    services.records.require()
    await asyncio.to_thread(delivery.watch.require)
    wanted = _read(request.headers.get("content-type", JSON), await body_of(request, services.report_limit))
    series = tuple(dict.fromkeys(wanted.series_instance_uids or ()))
    job = str(uuid.uuid4())
    with delivery.watch.guard():
        await asyncio.to_thread(_note, services, delivery, Pull(job, wanted.study_instance_uid, series))
    delivery.watch.succeeded()
    subject = {"study": wanted.study_instance_uid, "series": series}
    await put_on_record(services, request, "pull", subject, {"series": len(series)})
    content = PulledOut(id=job, state="received").model_dump(mode="json")
    return JSONResponse(content, HTTPStatus.ACCEPTED, headers={"Location": location_of(request, job)})


def nothing_to_ask() -> PullOff:
    """The error where no archive is set."""
    return PullOff(
        found="a service without an archive to fetch from",
        expected="LUNGSCOPE_PULL_URL",
        remedy="Ask the operator of this service, or send the files to /v1/studies?async=true.",
    )


def _read(content_type: str, body: bytes | memoryview) -> PullIn:
    if content_type.partition(";")[0].strip().lower() != JSON:
        raise UnsupportedMediaType(found="another Content-Type", expected=JSON, remedy="Send JSON.")
    try:
        return PullIn.model_validate_json(bytes(body))
    except ValidationError:
        raise InvalidParameter(
            found="a body that names no study",
            expected=f'{{"study_instance_uid": "…"}}, and perhaps up to {MAX_SERIES} "series_instance_uids"',
            remedy="Correct the body.",
        ) from None


def _note(services: Services, delivery: Delivery, pull: Pull) -> None:
    delivery.require_room()
    if delivery.store.pulls_waiting() >= MAX_WAITING:
        raise SpoolFull(
            found=f"{MAX_WAITING} jobs that wait to be fetched",
            expected="fewer",
            remedy="Try again later; the operator can look after the archive.",
        )
    now = time.time()
    submission = Submission(pull.job, telemetry.request_id.get() or "", "received", "", now, ())
    delivery.store.ask(submission, pull, expires_at=now + services.settings.result_hours * HOUR_S)
