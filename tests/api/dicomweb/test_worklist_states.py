"""UPS-RS (PS3.18 11.7 and 11.8): which state follows on which, at the wish of whom."""

from __future__ import annotations

from typing import Final

import pytest

from tests.api.dicomweb import ups_client as ups
from tests.api.dicomweb.ups_client import (
    Dataset,
    UpsClient,
    code,
    discontinued,
    element,
    performed,
)
from tests.api.dicomweb.worklists import (
    CANCELED,
    COMPLETED,
    IN_PROGRESS,
    MINE,
    OTHERS,
    SCHEDULED,
    in_state,
    warned,
)
from tests.api.test_jobs import problem

INCONSISTENT: Final = "The submitted request is inconsistent with the state of the UPS Instance."

# 11.7 Change state: PS3.4 table CC.1.1-2.


@pytest.mark.parametrize(
    ("before", "wanted", "transaction", "status", "warning"),
    [
        (SCHEDULED, IN_PROGRESS, MINE, 200, None),
        (SCHEDULED, COMPLETED, MINE, 409, INCONSISTENT),
        (SCHEDULED, CANCELED, MINE, 409, INCONSISTENT),
        (SCHEDULED, IN_PROGRESS, None, 400, "The Transaction UID is missing."),
        (IN_PROGRESS, IN_PROGRESS, MINE, 409, INCONSISTENT),
        (IN_PROGRESS, IN_PROGRESS, OTHERS, 400, "The Transaction UID is incorrect."),
        (IN_PROGRESS, COMPLETED, OTHERS, 400, "The Transaction UID is incorrect."),
        (IN_PROGRESS, CANCELED, None, 400, "The Transaction UID is missing."),
        (COMPLETED, IN_PROGRESS, MINE, 409, INCONSISTENT),
        (COMPLETED, COMPLETED, MINE, 200, "The UPS is already in the requested state of COMPLETED."),
        (COMPLETED, COMPLETED, OTHERS, 400, "The Transaction UID is incorrect."),
        (COMPLETED, CANCELED, MINE, 409, INCONSISTENT),
        (CANCELED, CANCELED, MINE, 200, "The UPS is already in the requested state of CANCELED."),
        (CANCELED, COMPLETED, MINE, 409, INCONSISTENT),
        (CANCELED, IN_PROGRESS, OTHERS, 400, "The Transaction UID is incorrect."),
    ],
)
def test_states_follow_each_other_as_the_table_says(
    worklist: UpsClient, before: str, wanted: str, transaction: str | None, status: int, warning: str | None
) -> None:
    uid = in_state(worklist, before)
    answer = worklist.change_state(uid, wanted, transaction)
    assert answer.status_code == status, answer.text
    assert (warned(answer) if "warning" in answer.headers else None) == warning
    assert worklist.state(uid) == (wanted if status == 200 else before)


@pytest.mark.parametrize("wanted", [SCHEDULED, "DONE", ""])
def test_other_states_cannot_be_asked_for(worklist: UpsClient, wanted: str) -> None:
    assert problem(worklist.change_state(in_state(worklist, IN_PROGRESS), wanted, MINE)) == (400, "invalid_workitem")


@pytest.mark.parametrize(
    ("wanted", "first", "missing"),
    [
        (COMPLETED, discontinued(), "OutputInformationSequence"),
        (CANCELED, performed(), "ProcedureStepDiscontinuationReasonCodeSequence"),
    ],
)
def test_a_final_state_needs_what_was_done(worklist: UpsClient, wanted: str, first: Dataset, missing: str) -> None:
    uid = in_state(worklist, IN_PROGRESS)
    assert worklist.update(uid, first, MINE).status_code == 200
    answer = worklist.change_state(uid, wanted, MINE)
    assert problem(answer) == (409, "workitem_conflict")
    assert missing in answer.json()["found"]
    assert worklist.state(uid) == IN_PROGRESS


# 11.8 Request cancellation.


def test_what_nobody_has_claimed_is_cancelled(worklist: UpsClient) -> None:
    uid = in_state(worklist, SCHEDULED)
    why = code("110514", "DCM", "Incorrect worklist entry selected")
    asked = {ups.REASON: element("LT", "The wrong study"), ups.REASONS: element("SQ", why)}
    assert worklist.request_cancellation(uid, asked).status_code == 202
    told = worklist.workitem(uid)
    assert told[ups.STATE]["Value"] == [CANCELED]
    (progress,) = told[ups.PROGRESS]["Value"]
    assert progress[ups.REASON]["Value"] == ["The wrong study"]
    assert progress[ups.REASONS]["Value"] == [why]
    assert progress[ups.CANCELED_AT]["Value"][0].endswith("+0000")
    again = worklist.request_cancellation(uid)
    assert (again.status_code, warned(again)) == (202, "The UPS is already in the requested state of CANCELED.")


@pytest.mark.parametrize(
    ("state", "warning"),
    [(IN_PROGRESS, "The performer cannot be contacted."), (COMPLETED, "The UPS is already COMPLETED.")],
)
def test_what_another_has_claimed_is_not(worklist: UpsClient, state: str, warning: str) -> None:
    uid = in_state(worklist, state)
    answer = worklist.request_cancellation(uid)
    assert problem(answer) == (409, "workitem_conflict")
    assert warned(answer) == warning
    assert worklist.state(uid) == state
