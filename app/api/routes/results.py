"""QIDO-RS (PS3.18 10.6): which results there are; and beside it, where the series of a study stand."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any, Final

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field

from app.api.deps import Services, ServicesDep, authorise
from app.api.dicomweb.answers import CONTENT_OF_MANY, format_of_many, many
from app.api.dicomweb.queries import Level, Query, search
from app.api.dicomweb.stored import attributes_of, subject
from app.api.problems import responses_for
from app.api.routes.dicomweb import OF_OTHERS, OF_STUDY, ROOT, DeliveryDep, put_on_record
from app.delivery.database.series_states import SeriesStatus, State
from app.delivery.worker import Delivery
from app.errors import UnknownModel, UnknownResult, UnknownVersion

QUERIED: Final = {"study": "StudyInstanceUID", "accession": "AccessionNumber", "patient": "PatientID"}
# PS3.18 8.3.4.4: said to who asks for what cannot be had.
ONLY_LITERAL: Final = (
    '299 lungscope "The fuzzymatching parameter is not supported. Only literal matching has been performed."'
)
FOUND: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "What matches; may be empty.", "content": CONTENT_OF_MANY},
    **responses_for(400, 406, 501, 503, 507, 500, without=OF_OTHERS),
}
STATUS: Final = (
    "What became of each series of a study that came in: `waiting` for more or to be judged, `judging`, `judged`, "
    "`delivering`, `delivered` to every destination, `unfit` (`code` says why it cannot be judged), `left_out` (a "
    "scout, or a view that is not axial) or `failed`. It is known as long as results are kept."
)


class SeriesStatusOut(BaseModel):
    """Where one series stands."""

    series_instance_uid: str
    state: State
    code: str | None = Field(description="why it was not judged, or not with its last instances")
    changed: datetime
    waiting: dict[str, int] = Field(description="results that a destination still has to get")
    refused_by: list[str] = Field(description="destinations that do not take one of its results")
    unwritten: list[str] = Field(description="kinds of results that could not be written")


class StudyStatusOut(BaseModel):
    """Where the series of one study stand, in the order in which they came."""

    study_instance_uid: str
    series: list[SeriesStatusOut]


router = APIRouter(prefix=ROOT, tags=["dicomweb"], dependencies=[Depends(authorise)])


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


@router.get(OF_STUDY + "/series/{series}/instances", summary="Find the result objects of a series", responses=FOUND)
async def find_instances_of_series(
    request: Request, services: ServicesDep, delivery: DeliveryDep, study: str, series: str
) -> Response:
    """QIDO-RS."""
    return await _find(request, services, delivery, "instances", study, series)


@router.get(
    OF_STUDY + "/status",
    summary="Ask what became of a study",
    description=STATUS,
    response_model=StudyStatusOut,
    responses=responses_for(404, 501, 503, 507, 500, without=(*OF_OTHERS, UnknownModel, UnknownVersion)),
)
async def study_status(request: Request, services: ServicesDep, delivery: DeliveryDep, study: str) -> StudyStatusOut:
    """Where the series of a study stand."""
    services.records.require()
    with delivery.watch.guard():
        found = await asyncio.to_thread(delivery.statuses, study)
    await put_on_record(services, request, "find_results", {"study": study}, {"found": len(found)})
    if not found:
        raise UnknownResult(
            found="no series of that study that came in",
            expected="a study that was sent here and whose results are kept",
            remedy="Send it by STOW-RS; what became of it is forgotten with its results.",
        )
    return StudyStatusOut(study_instance_uid=study, series=[status_out(each) for each in found])


def status_out(status: SeriesStatus) -> SeriesStatusOut:
    """Where a series stands, as an answer says it."""
    return SeriesStatusOut(
        series_instance_uid=status.series_uid,
        state=status.state,
        code=status.code or None,
        changed=datetime.fromtimestamp(status.changed_at, UTC),
        waiting=dict(status.waiting),
        refused_by=list(status.refused_by),
        unwritten=list(status.unwritten),
    )


async def _find(request: Request, services: Services, delivery: Delivery, level: Level, *scope: str) -> Response:
    wanted = format_of_many(request)
    services.records.require()
    query = Query.parse(request.query_params.multi_items())
    root = str(request.base_url).rstrip("/") + ROOT

    def work() -> tuple[int, Response]:
        found = search(attributes_of(delivery, delivery.store.find(*scope)), query, level, root)
        return len(found), many(wanted, [json.dumps(each, ensure_ascii=False) for each in found])

    with delivery.watch.guard():
        count, response = await asyncio.to_thread(work)
    await put_on_record(services, request, "find_results", _asked_for(request, *scope), {"found": count})
    if request.query_params.get("fuzzymatching") == "true":
        response.headers["Warning"] = ONLY_LITERAL
    return response


def _asked_for(request: Request, *scope: str) -> dict[str, str]:
    """The study and so on of a path, and those of the query."""
    asked = {kind: request.query_params.get(keyword, "") for kind, keyword in QUERIED.items()}
    return {**asked, **{kind: uid for kind, uid in subject(*scope).items() if uid}}
