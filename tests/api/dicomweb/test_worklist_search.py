"""UPS-RS (PS3.18 11.9): which workitems are found."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from app.api.dicomweb import worklist_queries
from phantoms.slices import derived_uid
from tests.api.dicomweb import ups_client as ups
from tests.api.dicomweb.ups_client import (
    UpsClient,
    code,
    element,
)
from tests.api.dicomweb.worklists import (
    IN_PROGRESS,
    MINE,
    SCHEDULED,
    in_state,
    others,
)
from tests.api.test_jobs import problem

# 11.9 Search.


@pytest.fixture(scope="module")
def listed(worklist: UpsClient) -> list[str]:
    """Three workitems; the second is claimed, the third for another work."""
    uids = [derived_uid(f"listed {number}") for number in range(3)]
    label = {ups.LABEL: element("LO", "Listed")}
    codes = {ups.WORKITEM_CODES: element("SQ", code("X1", "99SITE", "Reading"), code("X2", "99SITE", "Report"))}
    for uid, more in zip(uids, ({}, {"00100020": element("LO", "B-18")}, codes), strict=True):
        assert worklist.create(uid, others() | label | more).status_code == 201
    assert worklist.change_state(uids[1], IN_PROGRESS, MINE).status_code == 200
    return uids


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("", [0, 1, 2]),
        ("ProcedureStepState=SCHEDULED", [0, 2]),
        ("00741000=IN%20PROGRESS", [1]),
        ("ProcedureStepState=IN*", [1]),
        ("ProcedureStepState=ELSEWHERE", []),
        ("PatientID=B-18", [1]),
        ("PatientName=doe*&PatientID=A-17", [0, 2]),
        ("ScheduledWorkitemCodeSequence.CodeValue=X2", [2]),
        ("00404018.00080100=X1", [2]),
        ("ScheduledStationNameCodeSequence.CodeValue=SOMEBODY", [0, 1, 2]),
        ("InputInformationSequence.StudyInstanceUID=1.2.3", [0, 1, 2]),
        ("InputInformationSequence.StudyInstanceUID=1.2.4", []),
        ("ScheduledProcedureStepStartDateTime=20261130-20261202", [0, 1, 2]),
        ("ScheduledProcedureStepStartDateTime=-20261130", []),
        ("NoSuchAttribute=1&ScheduledWorkitemCodeSequence=1&A.B=2", [0, 1, 2]),
        ("TransactionUID=1.2.826.1", [0, 1, 2]),
        ("limit=1", [0]),
        ("limit=5&offset=1", [1, 2]),
        ("offset=7", []),
        ("offset=99999999999999999999", []),
        pytest.param(f"offset={'9' * 5000}", [], id="5000 digits"),
        ("includefield=all&fuzzymatching=false", [0, 1, 2]),
    ],
)
def test_workitems_are_found(worklist: UpsClient, listed: list[str], query: str, numbers: list[int]) -> None:
    assert worklist.found(f"ProcedureStepLabel=Listed&{query}") == [listed[number] for number in numbers]


def test_more_than_a_page_of_the_database_is_found_in_order(worklist: UpsClient, worklist_http: TestClient) -> None:
    store = worklist_http.app.state.services.delivery.store  # type: ignore[attr-defined]  # what create_app made
    uid = in_state(worklist, SCHEDULED)
    item = store.workitem(uid)
    assert worklist.update(uid, {ups.LABEL: element("LO", "Many")}).status_code == 200
    wanted = [uid]
    for number in range(230):
        wanted.append(f"{uid[:40]}.{100 + number}")
        attributes = item.attributes | {ups.LABEL: element("LO", "Many")}
        assert store.add_workitem(
            type(item)(wanted[-1], SCHEDULED, -1, attributes, created_at=item.created_at + number // 9), expires_at=4e9
        )
    assert sorted(worklist.found("ProcedureStepLabel=Many")) == sorted(wanted)
    assert worklist.found("ProcedureStepLabel=Many&offset=229&limit=2") == wanted[229:]


def test_a_search_in_other_formats_and_what_it_refuses(worklist: UpsClient, listed: list[str]) -> None:
    answer = worklist.search("ProcedureStepLabel=Listed", 'multipart/related; type="application/dicom+xml"')
    assert answer.headers["content-type"].startswith("multipart/related")
    assert answer.content.count(b"<NativeDicomModel") == len(listed)
    assert problem(worklist.search("limit=many")) == (400, "invalid_parameter")
    assert "fuzzymatching" in worklist.search("fuzzymatching=true").headers["warning"]
    assert MINE not in worklist.search().text


def test_long_workitems_come_a_few_at_once_and_the_answer_says_that_there_are_more(
    worklist: UpsClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    uids = [in_state(worklist, SCHEDULED) for _ in range(3)]
    for uid in uids:
        assert worklist.update(uid, {ups.LABEL: element("LO", "Long")}).status_code == 200
    monkeypatch.setattr(worklist_queries, "MOST_CHARACTERS", 2000)
    for offset, uid in enumerate(uids):
        answer = worklist.search(f"ProcedureStepLabel=Long&offset={offset}")
        assert [each[ups.SOP_INSTANCE]["Value"] for each in answer.json()] == [[uid]]
        assert ("additional results" in answer.headers.get("warning", "")) == (uid != uids[-1])


def test_a_search_by_too_many_attributes_is_refused(worklist: UpsClient) -> None:
    query = "&".join(f"PatientID={number}" for number in range(33))
    assert problem(worklist.search(query)) == (400, "invalid_parameter")
    assert worklist.found(query.removesuffix("&PatientID=32")) == []
