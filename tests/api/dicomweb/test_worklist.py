"""UPS-RS (PS3.18 11), row by row, by a client of our own: the transactions and their states, of workitems that are for
another performer, so that nothing happens to them but what is asked for here."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from pydantic import SecretStr
from starlette.testclient import TestClient

from app.api.dicomweb.native_xml import NAMESPACE
from phantoms.slices import SECRET_NAME, derived_uid
from tests.api.dicomweb import ups_client as ups
from tests.api.dicomweb.ups_client import (
    Dataset,
    UpsClient,
    code,
    discontinued,
    element,
    input_item,
    performed,
    workitem,
)
from tests.api.test_jobs import problem, started
from tests.conftest import REPOSITORY

NOWHERE = "http://127.0.0.1:9/dicom-web"
MINE, OTHERS = "1.2.826.1", "1.2.826.2"  # Transaction UIDs
NUMBERS = count()
SCHEDULED, IN_PROGRESS, COMPLETED, CANCELED = "SCHEDULED", "IN PROGRESS", "COMPLETED", "CANCELED"


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with started(tmp_path_factory.mktemp("worklist"), pull_url=NOWHERE) as client:
        yield client


@pytest.fixture(scope="module")
def client(http: TestClient) -> UpsClient:
    return UpsClient(http)


def others() -> Dataset:
    return workitem(input_item("1.2.3"), station="SOMEBODY")


def in_state(client: UpsClient, state: str) -> str:
    """The UID of a workitem of another performer in this state, owned by MINE once it is claimed."""
    uid = derived_uid(f"workitem {next(NUMBERS)}")
    assert client.create(uid, others()).status_code == 201
    if state == SCHEDULED:
        return uid
    assert client.change_state(uid, IN_PROGRESS, MINE).status_code == 200
    if state != IN_PROGRESS:
        assert client.update(uid, performed() | discontinued(), MINE).status_code == 200
        assert client.change_state(uid, state, MINE).status_code == 200
    return uid


def warned(answer: Any) -> str:
    warning = answer.headers["warning"]
    assert warning.startswith('299 lungscope "')
    return str(warning[15:-1])


# 11.4 Create.


def test_a_workitem_is_created_and_has_an_address(client: UpsClient, http: TestClient) -> None:
    uid = derived_uid("new")
    answer = client.create(uid, others())
    assert (answer.status_code, answer.content) == (201, b"")
    assert answer.headers["location"] == answer.headers["content-location"] == f"/dicom-web/workitems/{uid}"
    assert "warning" not in answer.headers
    there = http.get(answer.headers["location"], headers={"Accept": "application/dicom+json"})
    assert there.headers["content-type"] == "application/dicom+json"
    told = there.json()
    assert told[ups.STATE]["Value"] == [SCHEDULED]
    assert told[ups.SOP_INSTANCE]["Value"] == [uid]
    assert told["00080016"]["Value"] == ["1.2.840.10008.5.1.4.34.6.1"]
    assert told[ups.WORKLIST_LABEL]["Value"] == ["LUNGSCOPE"]
    assert told["00404010"]["Value"][0].endswith("+0000")
    assert told["00100010"]["Value"] == [{"Alphabetic": "Doe^Jane", "Ideographic": "王^小东"}]
    assert ups.TRANSACTION not in told


def test_the_sample_of_the_documentation_is_taken(client: UpsClient) -> None:
    page = (REPOSITORY / "docs" / "pacs.md").read_text("utf-8")
    (sample,) = (text for text in re.findall("```json\n(.*?)```", page, re.DOTALL) if ups.STATE in text)
    assert client.create(derived_uid("sample"), json.loads(sample)).status_code == 201
    assert client.request_cancellation(derived_uid("sample")).status_code == 202


def test_the_uid_may_stand_in_the_data_set_or_under_a_name(client: UpsClient) -> None:
    within, named = derived_uid("within"), derived_uid("named")
    assert client.create(None, others() | {ups.SOP_INSTANCE: element("UI", within)}).status_code == 201
    assert client.create(f"AffectedSOPInstanceUID={named}", [others()]).status_code == 201
    assert client.state(within) == client.state(named) == SCHEDULED


def test_a_uid_is_used_once(client: UpsClient) -> None:
    for state in (SCHEDULED, COMPLETED):
        assert problem(client.create(in_state(client, state), others())) == (409, "workitem_exists")


TYPE_1 = (ups.PRIORITY, ups.LABEL, ups.START, ups.READINESS, ups.STATE)
TYPE_2 = (
    *(ups.WORKLIST_LABEL, "00400400", "00100010", "00100030", "00100040", "00380010", "00081080"),
    *ups.EMPTY_SEQUENCES,
)


@pytest.mark.parametrize("tag", [*TYPE_1, *TYPE_2])
def test_what_n_create_needs_must_be_there(client: UpsClient, tag: str) -> None:
    """Table CC.2.5-3 of PS3.4: a value for type 1, the attribute for type 2."""
    sent = others()
    del sent[tag]
    answer = client.create(derived_uid("never"), sent)
    assert problem(answer) == (400, "invalid_workitem")
    if tag in TYPE_1:
        assert problem(client.create(derived_uid("never"), others() | {tag: element("CS")}))[0] == 400
    assert client.retrieve(derived_uid("never")).status_code == 404


@pytest.mark.parametrize(
    "odd",
    [
        {ups.STATE: element("CS", IN_PROGRESS)},
        {ups.PRIORITY: element("CS", "AT ONCE")},
        {ups.READINESS: element("CS", "SOON")},
        {ups.TRANSACTION: element("UI", "1.2")},
        {ups.SOP_INSTANCE: element("UI", "1.2.3")},
        {"00080016": element("UI", "1.2.840.10008.5.1.4.1.1.2")},
        performed(),
        discontinued(),
        {ups.STATE: {"vr": "LO", "Value": [SCHEDULED]}},
        {ups.STATE: SCHEDULED},
        {ups.LABEL: {"vr": "LO", "Value": "text"}},
        {ups.LABEL: {"vr": "LO", "Value": ["\x1b[0m"]}},
        {ups.LABEL: {"vr": "LO", "Value": ["\ud800"]}},
        {ups.LABEL: {"vr": "LO", "Value": [7]}},
        {ups.LABEL: {"vr": "LO", "BulkDataURI": "http://elsewhere.example"}},
        {"00100010": {"vr": "PN", "Value": ["Doe^Jane"]}},
        {"00101030": {"vr": "DS", "Value": [10**400]}},
        {"00101030": {"vr": "DS", "Value": [True]}},
        {"001021C0": {"vr": "US", "Value": [2**16]}},
        {ups.INPUT: {"vr": "SQ", "Value": ["1.2.3"]}},
        {"00400010": {"vr": "SH", "Value": ["station"] * 30_000}},
        {ups.INPUT: {"vr": "SQ", "Value": [{ups.INPUT: element("SQ", {})}] * 30_000}},
    ],
    ids=lambda odd: str(odd)[:60],
)
def test_odd_attributes_are_refused_and_not_repeated(client: UpsClient, odd: Dataset) -> None:
    answer = client.create(derived_uid("odd"), others() | odd)
    assert problem(answer) == (400, "invalid_workitem")
    assert "Jane" not in answer.text
    assert client.retrieve(derived_uid("odd")).status_code == 404


@pytest.mark.parametrize(
    ("body", "content_type", "expected"),
    [
        (b"", "application/dicom+json", (400, "invalid_workitem")),
        (b"[]", "application/dicom+json", (400, "invalid_workitem")),
        (b"[" * 100_000, "application/dicom+json", (400, "invalid_workitem")),
        (b'{"00741000": {"vr": "CS", "Value": [NaN]}}', "application/dicom+json", (400, "invalid_workitem")),
        (b"<a/>", "application/dicom+xml", (415, "unsupported_media_type")),
        (b" " * (9 << 20), "application/dicom+json", (413, "input_too_large")),
    ],
    ids=lambda given: str(given)[:40],
)
def test_what_is_no_data_set_is_refused(
    http: TestClient, body: bytes, content_type: str, expected: tuple[int, str]
) -> None:
    answer = http.post("/dicom-web/workitems?1.2.3.9", content=body, headers={"Content-Type": content_type})
    assert problem(answer) == expected


def test_a_workitem_needs_a_uid(client: UpsClient) -> None:
    for uid in (None, "workitem=1.2.x", "1.2.03.."):
        assert problem(client.create(uid, others())) == (400, "invalid_workitem")


def test_attributes_that_nobody_knows_are_left_out_and_that_is_said(client: UpsClient) -> None:
    uid = derived_uid("private")
    private = {"00091001": {"vr": "LO", "Value": [SECRET_NAME]}, "0X080018": element("UI", "1.2"), "zz": 1}
    answer = client.create(uid, others() | private)
    assert answer.status_code == 201
    assert warned(answer) == "The Workitem was created with modifications."
    assert not private.keys() & client.workitem(uid).keys()
    answer = client.update(uid, private)
    assert (answer.status_code, warned(answer)) == (200, "Requested optional Attributes are not supported.")


# 11.5 Retrieve.


def test_a_workitem_comes_as_xml_for_who_wants_that(client: UpsClient) -> None:
    uid = in_state(client, SCHEDULED)
    answer = client.retrieve(uid, "application/dicom+xml")
    assert answer.headers["content-type"] == "application/dicom+xml"
    names = {
        each.get("keyword") for each in ElementTree.fromstring(answer.content).iter(f"{{{NAMESPACE}}}DicomAttribute")
    }
    assert {"ProcedureStepState", "InputInformationSequence", "PatientName"} <= names
    assert problem(client.retrieve(uid, "text/html")) == (406, "not_acceptable")


def test_what_was_never_there_is_not_found_and_what_expired_is_gone(client: UpsClient, http: TestClient) -> None:
    for uid in ("1.2.3.4", "' OR 1=1"):
        assert problem(client.retrieve(uid)) == (404, "unknown_workitem")
        assert problem(client.update(uid, {})) == (404, "unknown_workitem")
        assert problem(client.change_state(uid, IN_PROGRESS, MINE)) == (404, "unknown_workitem")
        assert problem(client.request_cancellation(uid)) == (404, "unknown_workitem")
    gone = [in_state(client, state) for state in (SCHEDULED, COMPLETED)]
    store = http.app.state.services.delivery.store  # type: ignore[attr-defined]  # what create_app made
    store.expire(4e9)
    for uid in gone:
        assert problem(client.retrieve(uid)) == (410, "workitem_gone")
        assert problem(client.update(uid, {})) == (410, "workitem_gone")
        assert problem(client.change_state(uid, IN_PROGRESS, MINE)) == (410, "workitem_gone")
        assert problem(client.request_cancellation(uid)) == (410, "workitem_gone")
        assert problem(client.create(uid, others())) == (409, "workitem_exists")
    assert client.found() == []
    store.expire(5e9)
    assert problem(client.retrieve(gone[0])) == (404, "unknown_workitem")


# 11.6 Update.


def test_anybody_changes_what_nobody_has_claimed(client: UpsClient) -> None:
    uid = in_state(client, SCHEDULED)
    before = client.workitem(uid)
    answer = client.update(uid, {ups.LABEL: element("LO", "Another"), ups.PRIORITY: element("CS", "HIGH")})
    assert (answer.status_code, answer.content) == (200, b"")
    after = client.workitem(uid)
    assert (after[ups.LABEL]["Value"], after[ups.PRIORITY]["Value"]) == (["Another"], ["HIGH"])
    assert after["00100010"] == before["00100010"]


def test_only_its_owner_changes_a_claimed_workitem(client: UpsClient) -> None:
    uid = in_state(client, IN_PROGRESS)
    label = {ups.LABEL: element("LO", "Another")}
    without, wrong = client.update(uid, label), client.update(uid, label, OTHERS)
    assert problem(without) == problem(wrong) == (400, "transaction_uid_refused")
    assert (warned(without), warned(wrong)) == ("The Transaction UID is missing.", "The Transaction UID is incorrect.")
    assert client.workitem(uid)[ups.LABEL]["Value"] == ["Lung nodules"]
    assert client.update(uid, label, MINE).status_code == 200
    named = client.update(uid, label | {ups.TRANSACTION: element("UI", MINE)})
    assert named.status_code == 200
    assert client.update(uid, label, f"transaction-uid={MINE}").status_code == 200
    assert client.workitem(uid)[ups.LABEL]["Value"] == ["Another"]
    assert MINE not in client.retrieve(uid).text


def test_a_transaction_uid_is_for_what_is_claimed(client: UpsClient) -> None:
    answer = client.update(in_state(client, SCHEDULED), {}, MINE)
    assert problem(answer) == (409, "workitem_conflict")
    assert warned(answer) == "The target URI did not reference a claimed Workitem."


@pytest.mark.parametrize("state", [COMPLETED, CANCELED])
def test_what_has_ended_changes_no_more(client: UpsClient, state: str) -> None:
    answer = client.update(in_state(client, state), {ups.LABEL: element("LO", "Another")}, MINE)
    assert problem(answer) == (400, "workitem_ended")
    assert warned(answer) == "The submitted request is inconsistent with the current state of the Workitem."


@pytest.mark.parametrize(
    "changes",
    [
        {ups.STATE: element("CS", COMPLETED)},
        {"00100010": element("PN", {"Alphabetic": "Doe^Joan"})},
        {"00100020": element("LO", "B-18")},
        {ups.SOP_INSTANCE: element("UI", "1.2")},
        {"0040A370": element("SQ", {})},
        {ups.PRIORITY: element("CS")},
        {ups.READINESS: element("CS", "SOON")},
    ],
    ids=str,
)
def test_what_n_set_may_not_change(client: UpsClient, changes: Dataset) -> None:
    answer = client.update(in_state(client, SCHEDULED), changes)
    assert problem(answer) == (400, "invalid_workitem")


# 11.7 Change state: PS3.4 table CC.1.1-2.


@pytest.mark.parametrize(
    ("before", "wanted", "transaction", "status", "warning"),
    [
        (SCHEDULED, IN_PROGRESS, MINE, 200, None),
        (SCHEDULED, COMPLETED, MINE, 409, "The submitted request is inconsistent with the state of the UPS Instance."),
        (SCHEDULED, CANCELED, MINE, 409, "The submitted request is inconsistent with the state of the UPS Instance."),
        (SCHEDULED, IN_PROGRESS, None, 400, "The Transaction UID is missing."),
        (
            IN_PROGRESS,
            IN_PROGRESS,
            MINE,
            409,
            "The submitted request is inconsistent with the state of the UPS Instance.",
        ),
        (IN_PROGRESS, IN_PROGRESS, OTHERS, 400, "The Transaction UID is incorrect."),
        (IN_PROGRESS, COMPLETED, OTHERS, 400, "The Transaction UID is incorrect."),
        (IN_PROGRESS, CANCELED, None, 400, "The Transaction UID is missing."),
        (
            COMPLETED,
            IN_PROGRESS,
            MINE,
            409,
            "The submitted request is inconsistent with the state of the UPS Instance.",
        ),
        (COMPLETED, COMPLETED, MINE, 200, "The UPS is already in the requested state of COMPLETED."),
        (COMPLETED, COMPLETED, OTHERS, 400, "The Transaction UID is incorrect."),
        (COMPLETED, CANCELED, MINE, 409, "The submitted request is inconsistent with the state of the UPS Instance."),
        (CANCELED, CANCELED, MINE, 200, "The UPS is already in the requested state of CANCELED."),
        (CANCELED, COMPLETED, MINE, 409, "The submitted request is inconsistent with the state of the UPS Instance."),
        (CANCELED, IN_PROGRESS, OTHERS, 400, "The Transaction UID is incorrect."),
    ],
)
def test_states_follow_each_other_as_the_table_says(
    client: UpsClient, before: str, wanted: str, transaction: str | None, status: int, warning: str | None
) -> None:
    uid = in_state(client, before)
    answer = client.change_state(uid, wanted, transaction)
    assert answer.status_code == status, answer.text
    assert (warned(answer) if "warning" in answer.headers else None) == warning
    assert client.state(uid) == (wanted if status == 200 else before)


@pytest.mark.parametrize("wanted", [SCHEDULED, "DONE", ""])
def test_other_states_cannot_be_asked_for(client: UpsClient, wanted: str) -> None:
    assert problem(client.change_state(in_state(client, IN_PROGRESS), wanted, MINE)) == (400, "invalid_workitem")


@pytest.mark.parametrize(
    ("wanted", "first", "missing"),
    [
        (COMPLETED, discontinued(), "OutputInformationSequence"),
        (CANCELED, performed(), "ProcedureStepDiscontinuationReasonCodeSequence"),
    ],
)
def test_a_final_state_needs_what_was_done(client: UpsClient, wanted: str, first: Dataset, missing: str) -> None:
    uid = in_state(client, IN_PROGRESS)
    assert client.update(uid, first, MINE).status_code == 200
    answer = client.change_state(uid, wanted, MINE)
    assert problem(answer) == (409, "workitem_conflict")
    assert missing in answer.json()["found"]
    assert client.state(uid) == IN_PROGRESS


# 11.8 Request cancellation.


def test_what_nobody_has_claimed_is_cancelled(client: UpsClient) -> None:
    uid = in_state(client, SCHEDULED)
    why = code("110514", "DCM", "Incorrect worklist entry selected")
    asked = {ups.REASON: element("LT", "The wrong study"), ups.REASONS: element("SQ", why)}
    assert client.request_cancellation(uid, asked).status_code == 202
    told = client.workitem(uid)
    assert told[ups.STATE]["Value"] == [CANCELED]
    (progress,) = told[ups.PROGRESS]["Value"]
    assert progress[ups.REASON]["Value"] == ["The wrong study"]
    assert progress[ups.REASONS]["Value"] == [why]
    assert progress[ups.CANCELED_AT]["Value"][0].endswith("+0000")
    again = client.request_cancellation(uid)
    assert (again.status_code, warned(again)) == (202, "The UPS is already in the requested state of CANCELED.")


@pytest.mark.parametrize(
    ("state", "warning"),
    [(IN_PROGRESS, "The performer cannot be contacted."), (COMPLETED, "The UPS is already COMPLETED.")],
)
def test_what_another_has_claimed_is_not(client: UpsClient, state: str, warning: str) -> None:
    uid = in_state(client, state)
    answer = client.request_cancellation(uid)
    assert problem(answer) == (409, "workitem_conflict")
    assert warned(answer) == warning
    assert client.state(uid) == state


# 11.9 Search.


@pytest.fixture(scope="module")
def listed(client: UpsClient) -> list[str]:
    """Three workitems; the second is claimed, the third for another work."""
    uids = [derived_uid(f"listed {number}") for number in range(3)]
    label = {ups.LABEL: element("LO", "Listed")}
    codes = {ups.WORKITEM_CODES: element("SQ", code("X1", "99SITE", "Reading"), code("X2", "99SITE", "Report"))}
    for uid, more in zip(uids, ({}, {"00100020": element("LO", "B-18")}, codes), strict=True):
        assert client.create(uid, others() | label | more).status_code == 201
    assert client.change_state(uids[1], IN_PROGRESS, MINE).status_code == 200
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
        ("includefield=all&fuzzymatching=false", [0, 1, 2]),
    ],
)
def test_workitems_are_found(client: UpsClient, listed: list[str], query: str, numbers: list[int]) -> None:
    assert client.found(f"ProcedureStepLabel=Listed&{query}") == [listed[number] for number in numbers]


def test_more_than_a_page_of_the_database_is_found_in_order(client: UpsClient, http: TestClient) -> None:
    store = http.app.state.services.delivery.store  # type: ignore[attr-defined]  # what create_app made
    uid = in_state(client, SCHEDULED)
    item = store.workitem(uid)
    assert client.update(uid, {ups.LABEL: element("LO", "Many")}).status_code == 200
    wanted = [uid]
    for number in range(230):
        wanted.append(f"{uid[:40]}.{100 + number}")
        attributes = item.attributes | {ups.LABEL: element("LO", "Many")}
        assert store.add_workitem(
            type(item)(wanted[-1], SCHEDULED, -1, attributes, created_at=item.created_at + number // 9), expires_at=4e9
        )
    assert sorted(client.found("ProcedureStepLabel=Many")) == sorted(wanted)
    assert client.found("ProcedureStepLabel=Many&offset=229&limit=2") == wanted[229:]


def test_a_search_in_other_formats_and_what_it_refuses(client: UpsClient, listed: list[str]) -> None:
    answer = client.search("ProcedureStepLabel=Listed", 'multipart/related; type="application/dicom+xml"')
    assert answer.headers["content-type"].startswith("multipart/related")
    assert answer.content.count(b"<NativeDicomModel") == len(listed)
    assert problem(client.search("limit=many")) == (400, "invalid_parameter")
    assert "fuzzymatching" in client.search("fuzzymatching=true").headers["warning"]
    assert MINE not in client.search().text


# 11.10 to 11.13: subscriptions.


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/workitems/1.2.840.10008.5.1.4.34.5/subscribers/WATCHER"),
        ("POST", "/workitems/1.2.3/subscribers/WATCHER?deletionlock=true"),
        ("DELETE", "/workitems/1.2.3/subscribers/WATCHER"),
        ("POST", "/workitems/1.2.840.10008.5.1.4.34.5/subscribers/WATCHER/suspend"),
        ("GET", "/subscribers/WATCHER"),
    ],
)
def test_nobody_is_notified_and_that_is_said(http: TestClient, method: str, path: str) -> None:
    assert problem(http.request(method, f"/dicom-web{path}")) == (501, "no_subscriptions")


# Who may, and where it is off.


@pytest.mark.parametrize(
    ("given", "code_", "setting"),
    [({"spool_dir": None}, "dicomweb_off", "LUNGSCOPE_SPOOL_DIR"), ({}, "pull_off", "LUNGSCOPE_PULL_URL")],
)
def test_without_spool_or_archive_the_answer_names_the_setting(
    tmp_path: Path, given: dict[str, Any], code_: str, setting: str
) -> None:
    with started(tmp_path, **given) as http:
        client = UpsClient(http)
        for answer in (client.create("1.2", others()), client.search(), client.retrieve("1.2")):
            assert problem(answer) == (501, code_)
            assert setting in answer.json()["detail"]


def test_the_worklist_needs_the_scope_of_jobs(tmp_path: Path) -> None:
    with started(tmp_path, pull_url=NOWHERE, api_token=SecretStr("t" * 32), root_path="/behind") as http:
        assert problem(UpsClient(http, "/behind/dicom-web").search())[0] == 401
        http.headers["authorization"] = "Bearer " + "t" * 32
        client = UpsClient(http, "/behind/dicom-web")
        answer = client.create("1.2.3", others())
        assert answer.headers["location"] == "/behind/dicom-web/workitems/1.2.3"
        assert client.state("1.2.3") == SCHEDULED
