"""Workitems that are for this service: fetched from an archive on this machine, judged by arithmetic, and watched by
our own client of UPS-RS as a workflow manager does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from starlette.testclient import TestClient

from app.delivery import worker
from app.main import create_app
from app.settings import Settings
from benchmarks.serving.service import eventually
from phantoms.series import SLICES, slice_file
from phantoms.slices import derived_uid
from tests.api.archive_peer import Archive, answer_with, serving
from tests.api.conftest import wait_until_ready
from tests.api.dicomweb import ups_client as ups
from tests.api.dicomweb.ups_client import Dataset, UpsClient, code, element, input_item, workitem
from tests.api.test_jobs import LATER_S, problem, started
from tests.fakes import arithmetic_backends

STUDY, SERIES, OTHER = (derived_uid(name) for name in ("study", "series", "other series"))
UID = derived_uid("a workitem")
UNSETTLED = ("SCHEDULED", "IN PROGRESS")


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work is looked for more often than once a second."""
    monkeypatch.setattr(worker, "POLL_S", 0.02)


@pytest.fixture(scope="module")
def series() -> list[bytes]:
    return [slice_file(index) for index in range(SLICES)]


@pytest.fixture
def archive(series: list[bytes]) -> Iterator[Archive]:
    archive = Archive()
    gap = [
        slice_file(index, SeriesInstanceUID=OTHER, SOPInstanceUID=derived_uid(f"gap {index}"))
        for index in (*range(5), *range(9, SLICES))
    ]
    archive.studies[STUDY] = {SERIES: series, OTHER: gap}
    with serving(archive):
        yield archive


@contextmanager
def served(folder: Path, archive: Archive, **given: Any) -> Iterator[UpsClient]:
    with started(folder, pull_url=archive.url, retry_seconds=0.01, **given) as http:
        yield UpsClient(http)


def created(client: UpsClient, *inputs: Dataset, uid: str = UID, **more: Any) -> str:
    answer = client.create(uid, workitem(*inputs, **more))
    assert answer.status_code == 201, answer.text
    return uid


def ended(client: UpsClient, uid: str = UID) -> Dataset:
    eventually(lambda: client.state(uid) not in UNSETTLED)
    return client.workitem(uid)


def answered(client: UpsClient, address: str) -> list[Dataset]:
    found: list[Dataset] = client.http.request("GET", address, headers={}).json()
    return found


def progress(told: Dataset) -> Dataset:
    (item,) = told[ups.PROGRESS]["Value"]
    return {tag: each["Value"][0] for tag, each in item.items()}


def performed(told: Dataset) -> Dataset:
    (item,) = told[ups.PERFORMED]["Value"]
    return {tag: each.get("Value", []) for tag, each in item.items()}


def test_a_series_is_fetched_judged_and_its_results_named(tmp_path: Path, archive: Archive) -> None:
    with served(tmp_path, archive) as client:
        told = ended(client, created(client, input_item(STUDY, SERIES)))
        assert told[ups.STATE]["Value"] == ["COMPLETED"]
        assert archive.paths() == [f"/dicom-web/studies/{STUDY}/series/{SERIES}"]
        assert progress(told) == {ups.PERCENT: 100.0, ups.WORDS: "1 of 1 series judged"}
        done = performed(told)
        assert [each[ups.CODE]["Value"] for each in done[ups.PERFORMED_STATIONS]] == [["LUNGSCOPE"]]
        assert [each[ups.CODE]["Value"] for each in done[ups.PERFORMED_CODES]] == [["110004"]]
        assert done[ups.STARTED] < done[ups.ENDED]
        named = []
        for output in done[ups.OUTPUT]:
            (address,) = output[ups.WADO]["Value"]
            assert address[ups.ADDRESS]["Value"][0].startswith(f"http://testserver/dicom-web/studies/{STUDY}/series/")
            of_series = answered(client, address[ups.ADDRESS]["Value"][0] + "/instances")
            there = [each[ups.SOP_INSTANCE]["Value"][0] for each in of_series]
            assert there == [each[ups.INSTANCE]["Value"][0] for each in output[ups.REFERENCED]["Value"]]
            named += there
        every = answered(client, "/dicom-web/instances")
        assert sorted(named) == sorted(each[ups.SOP_INSTANCE]["Value"][0] for each in every)
        assert len(named) > 1
        assert ups.TRANSACTION not in told
        assert client.found("ProcedureStepState=COMPLETED") == [UID]
        assert problem(client.request_cancellation(UID)) == (409, "workitem_conflict")


def test_a_study_is_judged_as_far_as_it_can_be(tmp_path: Path, archive: Archive) -> None:
    """One of its series has a gap: what was judged is there, and why the other was not."""
    with served(tmp_path, archive) as client:
        told = ended(client, created(client, input_item(STUDY)))
        assert told[ups.STATE]["Value"] == ["COMPLETED"]
        assert progress(told)[ups.WORDS] == "1 of 2 series judged; missing_slices"
        assert {each[ups.STUDY]["Value"][0] for each in performed(told)[ups.OUTPUT]} == {STUDY}


def test_what_cannot_be_judged_is_cancelled_with_the_report_that_says_so(tmp_path: Path, archive: Archive) -> None:
    with served(tmp_path, archive) as client:
        told = ended(client, created(client, input_item(STUDY, OTHER)))
        assert told[ups.STATE]["Value"] == ["CANCELED"]
        why = progress(told)
        assert why[ups.REASON] == "missing_slices"
        assert why[ups.REASONS] == code("110513", "DCM", "Discontinued for unspecified reason")
        assert why[ups.CANCELED_AT].endswith("+0000")
        (output,) = performed(told)[ups.OUTPUT]
        assert len(output[ups.REFERENCED]["Value"]) == 1
        assert client.change_state(UID, "CANCELED", "1.2").status_code == 400


@pytest.mark.parametrize(
    ("inputs", "fault", "reason"),
    [
        ([input_item("1.2.3")], None, "not_at_source"),
        ([input_item(STUDY, SERIES)], answer_with(401), "source_refuses"),
        ([], None, "unusable_input: the Input Information Sequence does not name series of one study"),
        (
            [input_item(STUDY), input_item("1.2.3")],
            None,
            "unusable_input: the Input Information Sequence does not name series of one study",
        ),
    ],
    ids=["unknown", "refused", "nothing", "two studies"],
)
def test_what_cannot_be_fetched_is_cancelled_and_says_why(
    tmp_path: Path, archive: Archive, inputs: list[Dataset], fault: Any, reason: str
) -> None:
    archive.faults = [fault] if fault else []
    with served(tmp_path, archive) as client:
        told = ended(client, created(client, *inputs))
        assert (told[ups.STATE]["Value"], progress(told)[ups.REASON]) == (["CANCELED"], reason)
        assert performed(told)[ups.OUTPUT] == []


def test_progress_is_told_and_what_is_not_yet_judged_is_cancelled(tmp_path: Path, archive: Archive) -> None:
    archive.faults = [answer_with(503)] * 9
    with started(tmp_path, pull_url=archive.url, retry_seconds=LATER_S) as http:
        client = UpsClient(http)
        created(client, input_item(STUDY, SERIES))
        eventually(lambda: "source_failing" in client.retrieve(UID).text)
        told = client.workitem(UID)
        assert told[ups.STATE]["Value"] == ["IN PROGRESS"]
        assert progress(told) == {ups.PERCENT: 0.0, ups.WORDS: "to be fetched again: source_failing"}
        assert problem(client.update(UID, {ups.LABEL: element("LO", "x")}, "1.2"))[0] == 400
        assert client.request_cancellation(UID).status_code == 202
        assert client.state(UID) == "CANCELED"
        assert len(archive.asked) == 1


def test_what_waits_in_the_spool_is_cancelled_with_it(tmp_path: Path, archive: Archive) -> None:
    with served(tmp_path, archive, settle_seconds=LATER_S, quiet_seconds=LATER_S) as client:
        created(client, input_item(STUDY, SERIES))
        eventually(lambda: "0 of 1 series settled" in client.retrieve(UID).text)
        assert client.request_cancellation(UID).status_code == 202
        assert not list((tmp_path / "state" / "spool" / "series").iterdir())


def test_what_is_for_others_or_not_ready_is_left_to_them(tmp_path: Path, archive: Archive) -> None:
    """Until it is ready, or meant for this service: then it is begun, the most urgent first."""
    reading, detection = (code(value, "DCM", "A work") for value in ("110005", "110004"))
    left: dict[str, Dataset] = {
        "station": {ups.STATIONS: element("SQ", code("ELSEWHERE", "99SITE", "A station"))},
        "work": {ups.WORKITEM_CODES: element("SQ", reading)},
        "unready": {ups.READINESS: element("CS", "UNAVAILABLE")},
    }
    changes: dict[str, Dataset] = {
        "station": {ups.STATIONS: element("SQ", code("LUNG_AI", "99SITE", "Lungscope"))},
        "work": {ups.WORKITEM_CODES: element("SQ", reading, detection)},
        "unready": {ups.READINESS: element("CS", "READY")},
    }
    archive.studies = {}
    with served(tmp_path, archive, station="LUNG_AI") as client:
        for name, own in left.items():
            assert client.create(derived_uid(name), workitem(input_item("1.2.3")) | own).status_code == 201
        ended(client, created(client, input_item("1.2.3")))
        assert [client.state(derived_uid(name)) for name in left] == ["SCHEDULED"] * 3
        assert client.update(derived_uid("unready"), {ups.PRIORITY: element("CS", "LOW")}).status_code == 200
        for name, own in changes.items():
            assert client.update(derived_uid(name), own).status_code == 200
            told = ended(client, derived_uid(name))
            assert told[ups.STATE]["Value"] == ["CANCELED"]
        assert performed(client.workitem(derived_uid("station")))[ups.PERFORMED_STATIONS] == [
            code("LUNG_AI", "99SITE", "Lungscope")
        ]
        assert performed(client.workitem(derived_uid("work")))[ups.PERFORMED_CODES] == [reading, detection]


def test_what_another_has_claimed_is_left_alone(tmp_path: Path, archive: Archive) -> None:
    with served(tmp_path, archive) as client:
        own = {ups.READINESS: element("CS", "INCOMPLETE")}
        assert client.create(UID, workitem(input_item(STUDY)) | own).status_code == 201
        assert client.change_state(UID, "IN PROGRESS", "1.2").status_code == 200
        assert client.update(UID, {ups.READINESS: element("CS", "READY")}, "1.2").status_code == 200
        ended(client, created(client, input_item("1.2.3"), uid=derived_uid("next")))
        assert client.state(UID) == "IN PROGRESS"


def test_another_process_goes_on_with_what_is_in_progress(tmp_path: Path, archive: Archive) -> None:
    """Claimed and not yet fetched when the first ends; fetched and not yet judged when the second does."""
    archive.faults = [answer_with(503)]
    with started(tmp_path, pull_url=archive.url, retry_seconds=0.5) as http:
        client = UpsClient(http)
        created(client, input_item(STUDY, SERIES))
        eventually(lambda: archive.asked and client.state(UID) == "IN PROGRESS")
    with again(tmp_path, archive, settle_seconds=LATER_S, quiet_seconds=LATER_S) as client:
        eventually(lambda: "0 of 1 series settled" in client.retrieve(UID).text)
        assert client.state(UID) == "IN PROGRESS"
    with again(tmp_path, archive, settle_seconds=0) as client:
        told = ended(client)
        assert told[ups.STATE]["Value"] == ["COMPLETED"]
        assert performed(told)[ups.OUTPUT]
    assert len(archive.asked) == 2


@contextmanager
def again(folder: Path, archive: Archive, **given: Any) -> Iterator[UpsClient]:
    """The service on the folder of one before."""
    settings = Settings(models_dir=folder, spool_dir=folder / "state", threads=1, pull_url=archive.url, **given)
    with TestClient(create_app(settings, backends=arithmetic_backends()), raise_server_exceptions=False) as http:
        wait_until_ready(http)
        yield UpsClient(http)


def test_nothing_of_a_patient_is_logged(
    tmp_path: Path, archive: Archive, caplog: pytest.LogCaptureFixture, series: list[bytes]
) -> None:
    with served(tmp_path, archive) as client:
        ended(client, created(client, input_item(STUDY, SERIES)))
        client.search("PatientName=Doe*")
    patient = str(dcmread(BytesIO(series[0])).PatientName)
    for secret in (UID, STUDY, SERIES, "Doe", "A-17", patient):
        assert secret not in caplog.text
