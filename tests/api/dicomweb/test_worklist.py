"""UPS-RS (PS3.18 11), row by row, by a client of our own: to create, retrieve and update workitems of another one.

Nothing happens to them but what is asked for here.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from pydantic import SecretStr
from starlette.testclient import TestClient

import app.delivery.worklist.worklist
from app.api.dicomweb.native_xml import NAMESPACE
from phantoms.slices import SECRET_NAME, derived_uid
from tests.api.dicomweb import ups_client as ups
from tests.api.dicomweb.ups_client import (
    Dataset,
    UpsClient,
    discontinued,
    element,
    performed,
)
from tests.api.dicomweb.worklists import (
    CANCELED,
    COMPLETED,
    IN_PROGRESS,
    MINE,
    NOWHERE,
    OTHERS,
    SCHEDULED,
    in_state,
    others,
    warned,
)
from tests.api.test_jobs import problem, started
from tests.conftest import REPOSITORY

# 11.4 Create.


def test_a_workitem_is_created_and_has_an_address(worklist: UpsClient, worklist_http: TestClient) -> None:
    uid = derived_uid("new")
    answer = worklist.create(uid, others())
    assert (answer.status_code, answer.content) == (201, b"")
    assert answer.headers["location"] == answer.headers["content-location"] == f"/dicom-web/workitems/{uid}"
    assert "warning" not in answer.headers
    there = worklist_http.get(answer.headers["location"], headers={"Accept": "application/dicom+json"})
    assert there.headers["content-type"] == "application/dicom+json"
    told = there.json()
    assert told[ups.STATE]["Value"] == [SCHEDULED]
    assert told[ups.SOP_INSTANCE]["Value"] == [uid]
    assert told["00080016"]["Value"] == ["1.2.840.10008.5.1.4.34.6.1"]
    assert told[ups.WORKLIST_LABEL]["Value"] == ["LUNGSCOPE"]
    assert told["00404010"]["Value"][0].endswith("+0000")
    assert told["00100010"]["Value"] == [{"Alphabetic": "Doe^Jane", "Ideographic": "王^小东"}]
    assert ups.TRANSACTION not in told


def test_the_sample_of_the_documentation_is_taken(worklist: UpsClient) -> None:
    page = (REPOSITORY / "docs" / "pacs.md").read_text("utf-8")
    (sample,) = (text for text in re.findall("```json\n(.*?)```", page, re.DOTALL) if ups.STATE in text)
    assert worklist.create(derived_uid("sample"), json.loads(sample)).status_code == 201
    assert worklist.request_cancellation(derived_uid("sample")).status_code == 202


def test_the_uid_may_stand_in_the_data_set_or_under_a_name(worklist: UpsClient) -> None:
    within, named = derived_uid("within"), derived_uid("named")
    assert worklist.create(None, others() | {ups.SOP_INSTANCE: element("UI", within)}).status_code == 201
    assert worklist.create(f"AffectedSOPInstanceUID={named}", [others()]).status_code == 201
    assert worklist.state(within) == worklist.state(named) == SCHEDULED


def test_a_uid_is_used_once(worklist: UpsClient) -> None:
    for state in (SCHEDULED, COMPLETED):
        assert problem(worklist.create(in_state(worklist, state), others())) == (409, "workitem_exists")


TYPE_1 = (ups.PRIORITY, ups.LABEL, ups.START, ups.READINESS, ups.STATE)
TYPE_2 = (
    *(ups.WORKLIST_LABEL, "00400400", "00100010", "00100030", "00100040", "00380010", "00081080"),
    *ups.EMPTY_SEQUENCES,
)


@pytest.mark.parametrize("tag", [*TYPE_1, *TYPE_2])
def test_what_n_create_needs_must_be_there(worklist: UpsClient, tag: str) -> None:
    """Table CC.2.5-3 of PS3.4: a value for type 1, the attribute for type 2."""
    sent = others()
    del sent[tag]
    answer = worklist.create(derived_uid("never"), sent)
    assert problem(answer) == (400, "invalid_workitem")
    if tag in TYPE_1:
        assert problem(worklist.create(derived_uid("never"), others() | {tag: element("CS")}))[0] == 400
    assert worklist.retrieve(derived_uid("never")).status_code == 404


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
def test_odd_attributes_are_refused_and_not_repeated(worklist: UpsClient, odd: Dataset) -> None:
    answer = worklist.create(derived_uid("odd"), others() | odd)
    assert problem(answer) == (400, "invalid_workitem")
    assert "Jane" not in answer.text
    assert worklist.retrieve(derived_uid("odd")).status_code == 404


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
    worklist_http: TestClient, body: bytes, content_type: str, expected: tuple[int, str]
) -> None:
    answer = worklist_http.post("/dicom-web/workitems?1.2.3.9", content=body, headers={"Content-Type": content_type})
    assert problem(answer) == expected


def test_a_workitem_needs_a_uid(worklist: UpsClient) -> None:
    for uid in (None, "workitem=1.2.x", "1.2.03.."):
        assert problem(worklist.create(uid, others())) == (400, "invalid_workitem")


def test_attributes_that_nobody_knows_are_left_out_and_that_is_said(worklist: UpsClient) -> None:
    uid = derived_uid("private")
    private = {"00091001": {"vr": "LO", "Value": [SECRET_NAME]}, "0X080018": element("UI", "1.2"), "zz": 1}
    answer = worklist.create(uid, others() | private)
    assert answer.status_code == 201
    assert warned(answer) == "The Workitem was created with modifications."
    assert not private.keys() & worklist.workitem(uid).keys()
    answer = worklist.update(uid, private)
    assert (answer.status_code, warned(answer)) == (200, "Requested optional Attributes are not supported.")


# 11.5 Retrieve.


def test_a_workitem_comes_as_xml_for_who_wants_that(worklist: UpsClient) -> None:
    uid = in_state(worklist, SCHEDULED)
    answer = worklist.retrieve(uid, "application/dicom+xml")
    assert answer.headers["content-type"] == "application/dicom+xml"
    names = {
        each.get("keyword") for each in ElementTree.fromstring(answer.content).iter(f"{{{NAMESPACE}}}DicomAttribute")
    }
    assert {"ProcedureStepState", "InputInformationSequence", "PatientName"} <= names
    assert problem(worklist.retrieve(uid, "text/html")) == (406, "not_acceptable")


def test_what_never_was_is_not_found_and_what_expired_is_gone(worklist: UpsClient, worklist_http: TestClient) -> None:
    for uid in ("1.2.3.4", "' OR 1=1"):
        assert problem(worklist.retrieve(uid)) == (404, "unknown_workitem")
        assert problem(worklist.update(uid, {})) == (404, "unknown_workitem")
        assert problem(worklist.change_state(uid, IN_PROGRESS, MINE)) == (404, "unknown_workitem")
        assert problem(worklist.request_cancellation(uid)) == (404, "unknown_workitem")
    gone = [in_state(worklist, state) for state in (SCHEDULED, COMPLETED)]
    store = worklist_http.app.state.services.delivery.store  # type: ignore[attr-defined]  # what create_app made
    store.expire(4e9)
    for uid in gone:
        assert problem(worklist.retrieve(uid)) == (410, "workitem_gone")
        assert problem(worklist.update(uid, {})) == (410, "workitem_gone")
        assert problem(worklist.change_state(uid, IN_PROGRESS, MINE)) == (410, "workitem_gone")
        assert problem(worklist.request_cancellation(uid)) == (410, "workitem_gone")
        assert problem(worklist.create(uid, others())) == (409, "workitem_exists")
    assert worklist.found() == []
    store.expire(5e9)
    assert problem(worklist.retrieve(gone[0])) == (404, "unknown_workitem")


# 11.6 Update.


def test_anybody_changes_what_nobody_has_claimed(worklist: UpsClient) -> None:
    uid = in_state(worklist, SCHEDULED)
    before = worklist.workitem(uid)
    answer = worklist.update(uid, {ups.LABEL: element("LO", "Another"), ups.PRIORITY: element("CS", "HIGH")})
    assert (answer.status_code, answer.content) == (200, b"")
    after = worklist.workitem(uid)
    assert (after[ups.LABEL]["Value"], after[ups.PRIORITY]["Value"]) == (["Another"], ["HIGH"])
    assert after["00100010"] == before["00100010"]


def test_only_its_owner_changes_a_claimed_workitem(worklist: UpsClient) -> None:
    uid = in_state(worklist, IN_PROGRESS)
    label = {ups.LABEL: element("LO", "Another")}
    without, wrong = worklist.update(uid, label), worklist.update(uid, label, OTHERS)
    assert problem(without) == problem(wrong) == (400, "transaction_uid_refused")
    assert (warned(without), warned(wrong)) == ("The Transaction UID is missing.", "The Transaction UID is incorrect.")
    assert worklist.workitem(uid)[ups.LABEL]["Value"] == ["Lung nodules"]
    assert worklist.update(uid, label, MINE).status_code == 200
    named = worklist.update(uid, label | {ups.TRANSACTION: element("UI", MINE)})
    assert named.status_code == 200
    assert worklist.update(uid, label, f"transaction-uid={MINE}").status_code == 200
    assert worklist.workitem(uid)[ups.LABEL]["Value"] == ["Another"]
    assert MINE not in worklist.retrieve(uid).text


def test_a_transaction_uid_is_for_what_is_claimed(worklist: UpsClient) -> None:
    answer = worklist.update(in_state(worklist, SCHEDULED), {}, MINE)
    assert problem(answer) == (409, "workitem_conflict")
    assert warned(answer) == "The target URI did not reference a claimed Workitem."


@pytest.mark.parametrize("state", [COMPLETED, CANCELED])
def test_what_has_ended_changes_no_more(worklist: UpsClient, state: str) -> None:
    answer = worklist.update(in_state(worklist, state), {ups.LABEL: element("LO", "Another")}, MINE)
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
def test_what_n_set_may_not_change(worklist: UpsClient, changes: Dataset) -> None:
    answer = worklist.update(in_state(worklist, SCHEDULED), changes)
    assert problem(answer) == (400, "invalid_workitem")


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
def test_nobody_is_notified_and_that_is_said(worklist_http: TestClient, method: str, path: str) -> None:
    assert problem(worklist_http.request(method, f"/dicom-web{path}")) == (501, "no_subscriptions")


# Who may, and where it is off.


@pytest.mark.parametrize(
    ("given", "code_", "setting"),
    [({"spool_dir": None}, "dicomweb_off", "LUNGSCOPE_SPOOL_DIR"), ({}, "pull_off", "LUNGSCOPE_PULL_URL")],
)
def test_without_spool_or_archive_the_answer_names_the_setting(
    tmp_path: Path, given: dict[str, Any], code_: str, setting: str
) -> None:
    with started(tmp_path, **given) as http:
        worklist = UpsClient(http)
        for answer in (worklist.create("1.2", others()), worklist.search(), worklist.retrieve("1.2")):
            assert problem(answer) == (501, code_)
            assert setting in answer.json()["detail"]


def test_the_worklist_needs_the_scope_of_jobs(tmp_path: Path) -> None:
    with started(tmp_path, pull_url=NOWHERE, api_token=SecretStr("t" * 32), root_path="/behind") as http:
        assert problem(UpsClient(http, "/behind/dicom-web").search())[0] == 401
        http.headers["authorization"] = "Bearer " + "t" * 32
        worklist = UpsClient(http, "/behind/dicom-web")
        answer = worklist.create("1.2.3", others())
        assert answer.headers["location"] == "/behind/dicom-web/workitems/1.2.3"
        assert worklist.state("1.2.3") == SCHEDULED


def test_a_text_with_a_form_feed_is_written_in_xml_without(worklist: UpsClient) -> None:
    uid = in_state(worklist, SCHEDULED)
    assert worklist.update(uid, {"0040A160": element("UT", "first\fsecond")}).status_code == 200
    document = ElementTree.fromstring(worklist.retrieve(uid, "application/dicom+xml").content)
    assert "first\nsecond" in [each.text for each in document.iter() if each.text]


# Bounds.


def test_a_workitem_grows_no_further_however_often_it_is_changed(worklist: UpsClient) -> None:
    uid = in_state(worklist, SCHEDULED)
    text = element("UT", "x" * 600_000)
    assert worklist.update(uid, {"0040A160": text}).status_code == 200
    before = worklist.workitem(uid)
    assert problem(worklist.update(uid, {"00100218": text})) == (413, "input_too_large")
    assert worklist.workitem(uid) == before
    assert problem(worklist.create("1.2.7", others() | {"0040A160": text, "00100218": text})) == (
        413,
        "input_too_large",
    )


def test_workitems_that_have_ended_are_not_without_number(worklist: UpsClient, monkeypatch: pytest.MonkeyPatch) -> None:
    in_state(worklist, COMPLETED)
    monkeypatch.setattr(app.delivery.worklist.worklist, "MAX_ENDED", 1)
    assert problem(worklist.create("1.2.8", others())) == (503, "spool_full")
