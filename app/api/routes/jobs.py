"""Jobs: a series that is judged later, its answer, and to cancel it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request, Response
from fastapi.concurrency import contextmanager_in_threadpool
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from pydantic_core import to_json

from app import telemetry
from app.api.deps import LanguageDep, Services, ServicesDep, authorise
from app.api.negotiation import JSON, LANGUAGE_PARAMETER, headers, media_ranges
from app.api.problems import responses_for
from app.api.routes.dicomweb import OF_OTHERS, put_on_record
from app.api.routes.results import SeriesStatusOut, status_out
from app.api.uploads.series import StudyUpload, read_study, unpacked
from app.delivery.database.submissions import JobState, JobStatus
from app.delivery.spool.spool import Reception
from app.delivery.worker import Delivery
from app.errors import (
    DicomwebOff,
    InputError,
    InvalidParameter,
    JobNotCancellable,
    JobsOff,
    MixedSeries,
    NoCtSlices,
    PullOff,
    UnknownJob,
    UnknownModel,
    UnknownResult,
    UnknownVersion,
)
from app.imaging.chunked import BLOCK_BYTES, FileBytes
from app.imaging.decoder import Decoder
from app.inference.vocabulary import Language
from app.intake import Intake
from app.judgement.answer_types import Answer
from app.judgement.answers_kept import answer_in
from app.judgement.parameters import Parameters, parse_series_parameters, require_none

PATH: Final = "/v1/jobs"
EXAMPLE_ID: Final = "5d0b5f9e-6a3f-4c55-9a1c-0d1b4a1f7f0e"
NEVER: Final = (
    *(kind for kind in OF_OTHERS if not issubclass(kind, JobsOff | UnknownJob | JobNotCancellable)),
    *(DicomwebOff, PullOff, UnknownModel, UnknownResult, UnknownVersion),
)
STATES: Final = (
    "`received` while it is still to be fetched, `waiting` for its turn, `judging`, `judged`, `delivering`, "
    "`delivered` to every destination, `unfit` (`code` says why it cannot be judged, as for `/v1/studies`), "
    "`left_out` by the operator's rules, `failed`, or `cancelled`. With `judged` or later each series has its "
    "`result`: the answer of `/v1/studies`."
)


class AcceptedOut(BaseModel):
    """A job that was taken on."""

    id: str = Field(examples=[EXAMPLE_ID])
    state: JobState = Field(examples=["waiting"])
    instances: dict[str, int] = Field(
        description="CT images that are `stored`, other objects that are `left_out`, and files that cannot be read",
        examples=[{"stored": 120, "left_out": 1, "unreadable": 0}],
    )


class JobSeriesOut(SeriesStatusOut):
    """Where a series of a job stands, and what was found in it."""

    study_instance_uid: str
    result: Answer | None = Field(description="once it is judged, as long as results are kept")


class JobOut(BaseModel):
    """Where a job stands."""

    id: str = Field(examples=[EXAMPLE_ID])
    state: JobState
    code: str | None = Field(description="why it was not judged, or not with its last instances")
    created: datetime
    series: list[JobSeriesOut]


LOCATION: Final = {"Location": {"description": "The address of the job.", "schema": {"type": "string"}}}
ACCEPTED: Final[dict[str, Any]] = {
    "description": "With `async=true`: the files are on the disk, and the series will be judged.",
    "model": AcceptedOut,
    "content": {JSON: {"example": {"id": EXAMPLE_ID, "state": "waiting", "instances": {"stored": 120}}}},
    "headers": LOCATION,
}
router = APIRouter(prefix=PATH, tags=["jobs"], dependencies=[Depends(authorise)])


async def jobs(services: ServicesDep) -> Delivery:
    """The spool and the results; raises JobsOff where there is no folder for them."""
    if services.delivery is None:
        raise JobsOff(
            found="a service without a folder in which jobs could wait",
            expected="LUNGSCOPE_SPOOL_DIR",
            remedy="Ask the operator of this service, or leave out async and wait for the answer.",
        )
    return services.delivery


JobsDep = Annotated[Delivery, Depends(jobs)]


@router.get(
    "/{job}",
    summary="Ask what became of a job",
    description=STATES,
    response_model=JobOut,
    responses=responses_for(404, 406, 501, 503, 507, 500, without=NEVER),
    openapi_extra={"parameters": [LANGUAGE_PARAMETER]},
)
async def job_status(
    request: Request, services: ServicesDep, delivery: JobsDep, language: LanguageDep, job: str
) -> Response:
    """State and results of a job."""
    media_ranges(request).require(JSON)
    services.records.require()
    with delivery.watch.guard():
        status = await asyncio.to_thread(_status, delivery, job)
        content = await asyncio.to_thread(_document, delivery, status, language)
    subject = {"series": [each.series_uid for each in status.series]}
    await put_on_record(services, request, "retrieve_results", subject, {"found": len(status.series)})
    return Response(content, media_type=JSON, headers=headers(language))


@router.delete(
    "/{job}",
    summary="Cancel a job",
    description="Its files are deleted, unless they are being judged, or have been, or others sent instances of the "
    "same series meanwhile: then it is 409.",
    status_code=HTTPStatus.NO_CONTENT,
    responses=responses_for(404, 409, 501, 503, 507, 500, without=NEVER),
)
async def cancel_job(request: Request, services: ServicesDep, delivery: JobsDep, job: str) -> Response:
    """Cancel a job that waits."""
    services.records.require()
    with delivery.watch.guard():
        status = await asyncio.to_thread(_status, delivery, job)
        cancelled = await asyncio.to_thread(delivery.cancel, status.submission)
    if not cancelled:
        raise JobNotCancellable(
            found=f"a job that is {status.standing[0]}, or of whose series others sent instances too",
            expected="one whose series waits, with no instances but its own",
            remedy="Let it be judged, and leave the result.",
        )
    subject = {"series": [each.series_uid for each in status.series]}
    await put_on_record(services, request, "cancel", subject, {"series": len(status.series)})
    return Response(status_code=HTTPStatus.NO_CONTENT)


async def submit(request: Request, services: Services) -> Response:
    """Put the series of a request into the spool, and answer with the address of its job.

    Raises JobsOff, the errors of `read_study`, InvalidParameter for anything but files, NoCtSlices and MixedSeries,
    and why nothing can be stored.
    """
    media_ranges(request).require(JSON)
    delivery = await jobs(services)
    services.records.require()
    await asyncio.to_thread(delivery.watch.require)
    with delivery.watch.guard():
        await asyncio.to_thread(delivery.require_room)
    upload = await read_study(request, services.study_limit, services.report_limit, services.settings.max_parts)
    _require_files_alone(upload)
    job, request_id = str(uuid.uuid4()), telemetry.request_id.get() or ""
    decoder = services.judge.builder(Parameters()).decoder
    with delivery.watch.guard():
        async with contextmanager_in_threadpool(delivery.spool.reception(job)) as reception:
            intake, unreadable = await asyncio.to_thread(_store, upload, decoder, reception)
            await asyncio.to_thread(_commit, delivery, reception, intake, job, request_id)
    delivery.watch.succeeded()
    counts = {"stored": len(intake.stored), "left_out": len(intake.left_out), "unreadable": unreadable}
    await put_on_record(services, request, "store", intake.subject(), counts)
    content = AcceptedOut(id=job, state="waiting", instances=counts).model_dump(mode="json")
    return JSONResponse(content, HTTPStatus.ACCEPTED, headers={"Location": location_of(request, job)})


def location_of(request: Request, job: str) -> str:
    """The path of a job, as the client sees it."""
    return f"{request.scope.get('root_path', '')}{PATH}/{job}"


def _require_files_alone(upload: StudyUpload) -> None:
    require_none(parse_series_parameters(upload.parameters))
    if upload.report is not None:
        raise InvalidParameter(
            found="a report with async",
            expected="files alone: a job's answer holds nothing of a report",
            remedy="Leave the report out, or async.",
        )


def _store(upload: StudyUpload, decoder: Decoder, reception: Reception) -> tuple[Intake, int]:
    """Write the files of a request into the spool; returns what became of them, and how many cannot be read."""
    unreadable: list[InputError] = []
    with closing(Intake(reception)) as intake:
        for file in unpacked(upload.files, decoder):
            if isinstance(file, InputError):
                unreadable.append(file)
                continue
            intake.begin()
            for piece in _pieces(file):
                intake.write(piece)
            intake.end()
    _require_one_series(intake, unreadable)
    return intake, len(unreadable) + len(intake.failed)


def _pieces(file: FileBytes) -> Sequence[bytes | memoryview]:
    if isinstance(file, bytes | memoryview):
        return [file]
    return [file.piece(at, at + BLOCK_BYTES) for at in range(0, len(file), BLOCK_BYTES)]


def _require_one_series(intake: Intake, unreadable: Sequence[InputError]) -> None:
    series = len(intake.series())
    if series > 1:
        raise MixedSeries(found=f"{series} series", expected="one series", remedy="Send each series by itself.")
    if series:
        return
    if unreadable and not (intake.left_out or intake.failed):
        raise unreadable[0]
    raise NoCtSlices(
        found=f"no CT image in {len(intake.left_out) + len(intake.failed) + len(unreadable)} files",
        expected="the CT images of one series as DICOM files",
        remedy="Send the series itself: CT Image Storage or Enhanced CT Image Storage.",
    )


def _commit(delivery: Delivery, reception: Reception, intake: Intake, job: str, request_id: str) -> None:
    delivery.received(intake.series(), intake.accessions())
    delivery.submitted(job, request_id, intake.series())
    reception.commit()


def _status(delivery: Delivery, job: str) -> JobStatus:
    status = delivery.job(job)
    if status is None:
        raise UnknownJob(
            found="no job with that id",
            expected="the address that Location named, while its results are kept",
            remedy="Send the series again: it joins what is there of it.",
        )
    return status


def _document(delivery: Delivery, status: JobStatus, language: Language) -> bytes:
    state, code = status.standing
    return to_json(
        {
            "id": status.submission.id,
            "state": state,
            "code": code or None,
            "created": datetime.fromtimestamp(status.submission.created_at, UTC),
            "series": [
                {
                    **status_out(each).model_dump(),
                    "study_instance_uid": each.study_uid,
                    "result": None
                    if (answers := delivery.answers_about(each)) is None
                    else answer_in(language, answers, status.submission.request_id),
                }
                for each in status.series
            ],
        }
    )
