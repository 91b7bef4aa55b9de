"""The worklist (UPS-RS, PS3.18 11): a workflow manager schedules what is to be judged, and watches it by asking."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request, Response

from app.api.deps import Services, ServicesDep, authorise
from app.api.dicomweb.answers import (
    CONTENT_OF_MANY,
    CONTENT_OF_ONE,
    DATASET,
    DICOM_JSON,
    format_of_many,
    format_of_one,
    many,
    one,
)
from app.api.dicomweb.datasets import read_dataset
from app.api.dicomweb.worklist_queries import WorklistQuery
from app.api.negotiation import JSON
from app.api.problems import OF_ARCHIVES, OF_FORMS, WARNING, responses_for
from app.api.routes import dicomweb
from app.api.routes.dicomweb import ROOT, DeliveryDep, put_on_record
from app.api.routes.pull import nothing_to_ask
from app.api.routes.results import ONLY_LITERAL
from app.api.uploads.body import body_of
from app.audit.event import Operation
from app.delivery.attributes import Attributes, value_of, values_of
from app.delivery.database.workitems import CANCELED, COMPLETED, IN_PROGRESS, StepState, Workitem
from app.delivery.worklist.performed import UNSPECIFIED, Reason, UnusableInput, input_of, with_addresses
from app.delivery.worklist.procedure_steps import shown
from app.delivery.worklist.worklist import Worklist
from app.errors import PullOff, UnknownModel, UnknownResult, UnknownVersion
from app.errors.workitems import InvalidWorkitem, NoSubscriptions
from app.imaging.values import is_uid

PATH: Final = "/workitems"
ONE: Final = PATH + "/{workitem}"
SUBSCRIBERS: Final = "/subscribers/{aetitle}"
# By which names clients send what the standard has as a query without a name.
UID_NAMES: Final = ("workitem", "AffectedSOPInstanceUID")
TRANSACTION_NAMES: Final = ("transaction", "transaction-uid", "TransactionUID")
MOVES: Final[dict[str, StepState]] = {state: state for state in (IN_PROGRESS, COMPLETED, CANCELED)}
NEVER: Final = (
    *(kind for kind in dicomweb.OF_OTHERS if kind is not PullOff),
    *(*OF_FORMS, *OF_ARCHIVES, UnknownModel, UnknownResult, UnknownVersion),
)
BODY: Final[dict[str, Any]] = {
    "requestBody": {"required": True, "content": {DICOM_JSON: DATASET, JSON: DATASET}},
}
WARNED: Final = {"Warning": {"description": "What was not done as asked.", "schema": {"type": "string"}}}
OF_BODIES: Final = (400, 408, 413, 415)
OF_STORAGE: Final = (501, 503, 507, 500)
SCHEDULE: Final = (
    "Create a workitem (PS3.18 11.4) whose Input Information Sequence names a study, or series of it. Where its input "
    "is READY and it is for this service, Lungscope claims it, fetches the series from the operator's archive and "
    "judges them; then it is COMPLETED, with the results in its Output Information Sequence, or CANCELED with the "
    "reason. The query is the workitem's UID, unless SOP Instance UID (0008,0018) is in the data set."
)
SEARCH: Final = (
    "Find workitems (PS3.18 11.9) by any attributes, also of items (`ScheduledWorkitemCodeSequence.CodeValue`), with "
    "`limit` and `offset`. All attributes of each are returned."
)
CHANGE: Final = (
    "Change attributes (PS3.18 11.6): anybody's until it is claimed, then its owner's, who shows the Transaction UID "
    "as query or in the data set."
)
MOVE: Final = (
    "Claim a workitem, complete or cancel it (PS3.18 11.7): Procedure Step State is `IN PROGRESS`, `COMPLETED` or "
    "`CANCELED`, Transaction UID that by which it is, or was, claimed."
)
CANCEL: Final = (
    "Ask that a workitem be cancelled (PS3.18 11.8). What nobody has claimed is; what Lungscope has claimed is until "
    "it is judged, else it is 409. Another performer cannot be told, which is 409 too. The body, a data set with the "
    "reason, may be left out."
)
NOT_NOTIFIED: Final = "Nobody is notified of workitems (PS3.18 11.10 to 11.13): ask for them again."
# PS3.18 8.3.4.4, without their number: they are not looked for.
MORE: Final = f'{WARNING} "There are additional results that can be requested"'
router = APIRouter(prefix=ROOT, tags=["dicomweb"], dependencies=[Depends(authorise)])


async def worklist(delivery: DeliveryDep) -> Worklist:
    """The worklist; raises DicomwebOff and PullOff where nothing could be performed."""
    if delivery.worklist is None:
        raise nothing_to_ask()
    return delivery.worklist


WorklistDep = Annotated[Worklist, Depends(worklist)]


def _responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return responses_for(*sorted([*statuses, *OF_STORAGE]), without=NEVER, worklist=True)


@router.post(
    PATH,
    summary="Schedule a workitem",
    description=SCHEDULE,
    status_code=HTTPStatus.CREATED,
    responses={
        201: {"description": "It is SCHEDULED.", "headers": {"Location": {"schema": {"type": "string"}}, **WARNED}},
        **_responses(*OF_BODIES, 409),
    },
    openapi_extra=BODY,
)
async def create_workitem(request: Request, services: ServicesDep, worklist: WorklistDep) -> Response:
    """Create Workitem."""
    sent, left_out = await _dataset(request, services)
    uid = _query(request, UID_NAMES) or value_of(sent, "SOPInstanceUID")
    if not is_uid(uid):
        raise InvalidWorkitem(
            found="no UID for the workitem",
            expected="one as query, or as SOP Instance UID (0008,0018)",
            remedy=f"POST to {ROOT}{PATH}?1.2.3, with a UID of your own.",
        )
    await _changed(request, services, worklist, "pull", partial(worklist.create, uid, sent))
    path = f"{request.scope.get('root_path', '')}{ROOT}{PATH}/{uid}"
    headers = {"Location": path, "Content-Location": path}
    if left_out:
        headers |= _warning("The Workitem was created with modifications.")
    return Response(status_code=HTTPStatus.CREATED, headers=headers)


@router.get(
    PATH,
    summary="Find workitems",
    description=SEARCH,
    responses={
        200: {"description": "What matches; may be empty.", "content": CONTENT_OF_MANY, "headers": WARNED},
        **_responses(400, 406),
    },
)
async def find_workitems(request: Request, services: ServicesDep, worklist: WorklistDep) -> Response:
    """Search."""
    wanted = format_of_many(request)
    services.records.require()
    query = WorklistQuery.parse(request.query_params.multi_items())
    root = _root(request)

    def work() -> tuple[int, Response]:
        found, more = query.page(_told(item, root) for item in worklist.workitems(query.state))
        response = many(wanted, found)
        if more:
            response.headers.append("Warning", MORE)
        return len(found), response

    with worklist.inbox.watch.guard():
        count, response = await asyncio.to_thread(work)
    await put_on_record(services, request, "find_results", {}, {"found": count})
    if request.query_params.get("fuzzymatching") == "true":
        response.headers.append("Warning", ONLY_LITERAL)
    return response


@router.get(
    ONE,
    summary="Get a workitem",
    description="Where it stands, and what came of it (PS3.18 11.5). Its Transaction UID is not shown.",
    responses={
        200: {"description": "Its attributes.", "content": CONTENT_OF_ONE},
        **_responses(404, 406, 410),
    },
)
async def get_workitem(request: Request, services: ServicesDep, worklist: WorklistDep, workitem: str) -> Response:
    """Retrieve Workitem."""
    wanted = format_of_one(request)
    services.records.require()
    with worklist.inbox.watch.guard():
        item = await asyncio.to_thread(worklist.workitem, workitem)
    await put_on_record(services, request, "retrieve_results", _subject(item), {"found": 1})
    content = json.dumps(_told(item, _root(request)), ensure_ascii=False).encode()
    return one(wanted, [content], HTTPStatus.OK)


@router.post(
    ONE,
    summary="Change a workitem",
    description=CHANGE,
    responses={200: {"description": "It is changed.", "headers": WARNED}, **_responses(*OF_BODIES, 404, 409, 410)},
    openapi_extra=BODY,
)
async def update_workitem(request: Request, services: ServicesDep, worklist: WorklistDep, workitem: str) -> Response:
    """Update Workitem."""
    changes, left_out = await _dataset(request, services)
    transaction_uid = _query(request, TRANSACTION_NAMES) or value_of(changes, "TransactionUID")
    work = partial(worklist.update, workitem, changes, transaction_uid)
    await _changed(request, services, worklist, "change_workitem", work)
    return Response(headers=_warning("Requested optional Attributes are not supported.") if left_out else {})


@router.put(
    ONE + "/state",
    summary="Claim, complete or cancel a workitem",
    description=MOVE,
    responses={
        200: {"description": "It is in that state.", "headers": WARNED},
        **_responses(*OF_BODIES, 404, 409, 410),
    },
    openapi_extra=BODY,
)
async def change_state(request: Request, services: ServicesDep, worklist: WorklistDep, workitem: str) -> Response:
    """Change Workitem State."""
    asked, _ = await _dataset(request, services)
    wanted = value_of(asked, "ProcedureStepState")
    if wanted not in MOVES:
        raise InvalidWorkitem(
            found="another state than can be asked for",
            expected=", ".join(MOVES),
            remedy="Send Procedure Step State (0074,1000).",
        )
    work = partial(worklist.change_state, workitem, MOVES[wanted], value_of(asked, "TransactionUID"))
    _, moved = await _changed(request, services, worklist, "change_workitem", work)
    return Response(headers={} if moved else _already(wanted))


@router.post(
    ONE + "/cancelrequest",
    summary="Ask that a workitem be cancelled",
    description=CANCEL,
    status_code=HTTPStatus.ACCEPTED,
    responses={202: {"description": "It is CANCELED.", "headers": WARNED}, **_responses(*OF_BODIES, 404, 409, 410)},
    openapi_extra={"requestBody": {"content": BODY["requestBody"]["content"]}},
)
async def request_cancellation(
    request: Request, services: ServicesDep, worklist: WorklistDep, workitem: str
) -> Response:
    """Request Cancellation."""
    reason, _ = await _dataset(request, services, may_be_empty=True)
    codes = values_of(reason, "ProcedureStepDiscontinuationReasonCodeSequence") or [UNSPECIFIED]
    why = Reason(value_of(reason, "ReasonForCancellation"), codes)
    work = partial(worklist.request_cancellation, workitem, why)
    _, cancelled = await _changed(request, services, worklist, "cancel", work)
    return Response(status_code=HTTPStatus.ACCEPTED, headers={} if cancelled else _already(CANCELED))


@router.post(ONE + SUBSCRIBERS, summary="Subscribe", description=NOT_NOTIFIED, responses=_responses())
@router.post(ONE + SUBSCRIBERS + "/suspend", summary="Suspend", description=NOT_NOTIFIED, responses=_responses())
@router.delete(ONE + SUBSCRIBERS, summary="Unsubscribe", description=NOT_NOTIFIED, responses=_responses())
async def subscriptions(workitem: str, aetitle: str) -> Response:  # noqa: ARG001  # of the path
    """What the standard leaves to the origin server (PS3.4 CC.2.3.3)."""
    raise _no_subscriptions()


@router.get(SUBSCRIBERS, summary="Open a channel for events", description=NOT_NOTIFIED, responses=_responses())
async def event_channel(aetitle: str) -> Response:  # noqa: ARG001  # of the path
    """The same."""
    raise _no_subscriptions()


def _no_subscriptions() -> NoSubscriptions:
    return NoSubscriptions(
        found="a subscription to workitems",
        expected="a client that asks for them again",
        remedy=f"GET {ROOT}{PATH}, or one of them, now and then.",
    )


async def _dataset(request: Request, services: Services, *, may_be_empty: bool = False) -> tuple[Attributes, bool]:
    body = await body_of(request, services.tensor_limit)
    if may_be_empty and not len(body):
        return {}, False
    return await asyncio.to_thread(read_dataset, request.headers.get("content-type", ""), body)


async def _changed(
    request: Request,
    services: Services,
    worklist: Worklist,
    operation: Operation,
    work: Callable[[], tuple[Workitem, bool]],
) -> tuple[Workitem, bool]:
    """The workitem that `work` leaves, and whether it changed it: done while the disk can be written, and put on
    record."""
    services.records.require()
    await asyncio.to_thread(worklist.inbox.watch.require)
    with worklist.inbox.watch.guard():
        item, changed = await asyncio.to_thread(work)
    worklist.inbox.watch.succeeded()
    await put_on_record(services, request, operation, _subject(item), {"workitems": int(changed)})
    return item, changed


def _subject(item: Workitem) -> dict[str, str | Sequence[str]]:
    try:
        study, series = input_of(item.attributes)
    except UnusableInput:
        return {}
    return {"study": study, "series": series}


def _told(item: Workitem, root: str) -> Attributes:
    return with_addresses(shown(item), root) if item.job else shown(item)


def _root(request: Request) -> str:
    return str(request.base_url).rstrip("/") + ROOT


def _query(request: Request, names: Sequence[str]) -> str:
    """The UID that a query is (PS3.18 11.4 and 11.6), or has under one of these names; empty where there is none."""
    given = request.query_params.multi_items()
    bare = (name for name, value in given if not value and is_uid(name))
    return next(bare, "") or next((value for name, value in given if name in names), "")


def _warning(text: str) -> dict[str, str]:
    return {"Warning": f'{WARNING} "{text}"'}


def _already(state: str) -> dict[str, str]:
    return _warning(f"The UPS is already in the requested state of {state}.")
