"""`/v1/studies?async=true` and `/v1/jobs`, through HTTP, on models whose answers are arithmetic."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from pydantic import SecretStr
from starlette.testclient import TestClient

from app.main import create_app
from app.settings import Settings
from benchmarks.serving.service import eventually
from phantoms.series import SLICES, slice_file, zipped
from phantoms.slices import derived_uid, dicom, small
from tests.api.conftest import declared, wait_until_ready
from tests.api.dicomweb.test_dicomweb import RELATED, STUDIES, post, related
from tests.fakes import arithmetic_backends, write_models

ASYNC: Final = "/v1/studies?async=true"
LATER_S: Final = 600.0  # longer than any test waits
OF_REQUEST: Final = ("request_id", "timing_ms")


@pytest.fixture(scope="module")
def series() -> list[bytes]:
    return [slice_file(index) for index in range(SLICES)]


@contextmanager
def started(folder: Path, **given: Any) -> Iterator[TestClient]:
    write_models(folder)
    settings = Settings(
        **{"models_dir": folder, "spool_dir": folder / "state", "settle_seconds": 0, "threads": 1, **given}
    )
    with TestClient(create_app(settings, backends=arithmetic_backends()), raise_server_exceptions=False) as client:
        wait_until_ready(client)
        yield client


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    """Judges at once."""
    with started(tmp_path) as client:
        yield client


@pytest.fixture
def patient(tmp_path: Path) -> Iterator[TestClient]:
    """Waits for what else may come."""
    with started(tmp_path, settle_seconds=LATER_S, quiet_seconds=LATER_S) as client:
        yield client


def parts(files: list[bytes]) -> list[tuple[str, tuple[str, bytes, str]]]:
    return [("files", (f"{number}.dcm", data, "application/dicom")) for number, data in enumerate(files)]


def submit(client: TestClient, files: list[bytes], **headers: str) -> str:
    """The address of the job."""
    answer = client.post(ASYNC, files=parts(files), headers=headers)
    assert answer.status_code == 202, answer.text
    location: str = answer.headers["location"]
    assert answer.json()["id"] == location.rpartition("/")[2]
    assert answer.json()["state"] == "waiting"
    return location


def settled(client: TestClient, location: str, **headers: str) -> dict[str, Any]:
    """The job once nothing of it waits or is being judged."""

    def found() -> dict[str, Any] | None:
        answer = client.get(location, headers=headers)
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return None if body["state"] in ("waiting", "judging") else body

    return eventually(found) or {}


def judged(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name not in OF_REQUEST}


def problem(answer: Any) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()["code"]


def waiting_files(folder: Path) -> list[str]:
    """Instances that wait to be judged."""
    return [path.name for path in (folder / "state" / "spool" / "series").glob("*/*") if len(path.name) == 32]


def test_the_result_is_the_answer_of_who_waits_for_it(client: TestClient, series: list[bytes]) -> None:
    now = client.post("/v1/studies", files=parts(series))
    own = str(uuid.uuid4())
    job = settled(client, submit(client, series, **{"x-request-id": own}))
    assert (job["state"], job["code"]) == ("judged", None)
    (found,) = job["series"]
    assert found["series_instance_uid"] == derived_uid("series")
    assert found["study_instance_uid"] == derived_uid("study")
    assert judged(found["result"]) == judged(now.json())
    assert found["result"]["request_id"] == own
    assert set(found["result"]["timing_ms"]) == set(now.json()["timing_ms"])


def test_the_result_has_the_declared_shape_and_speaks_the_language_of_who_asks(
    client: TestClient, series: list[bytes]
) -> None:
    location = submit(client, series)
    settled(client, location)
    said = {}
    for language in ("en", "zh"):
        answer = client.get(location, headers={"accept-language": language})
        assert answer.headers["content-language"] == language
        result = answer.json()["series"][0]["result"]
        said[language] = result["display"]
        declared(answer.content[answer.content.index(b'"result":') + 9 : -3])
    assert said == {"en": "Suspicious for lung cancer", "zh": "肺癌(疑似)"}


def test_a_zip_and_a_form_of_it_are_unpacked(patient: TestClient, tmp_path: Path, series: list[bytes]) -> None:
    bare = patient.post(ASYNC, content=zipped([*series, b"a letter"]), headers={"content-type": "application/zip"})
    assert (bare.status_code, bare.json()["instances"]) == (202, {"stored": SLICES, "left_out": 0, "unreadable": 1})
    assert len(waiting_files(tmp_path)) == SLICES
    formed = patient.post(ASYNC, files={"files": zipped(series)})
    assert (formed.status_code, formed.json()["instances"]["stored"]) == (202, SLICES)
    assert len(waiting_files(tmp_path)) == SLICES, "the same again joins its series"


def test_a_single_file_does_not_wait_for_the_long_pause(tmp_path: Path, series: list[bytes]) -> None:
    with started(tmp_path, settle_seconds=0, quiet_seconds=LATER_S) as client:
        (found,) = settled(client, submit(client, series[8:9]))["series"]
        assert found["result"]["source"]["kind"] == "dicom"


def test_what_cannot_be_judged_says_why(client: TestClient, series: list[bytes]) -> None:
    job = settled(client, submit(client, [*series[:5], *series[8:]]))
    assert (job["state"], job["code"]) == ("unfit", "missing_slices")
    assert job["series"][0]["result"] is None


def test_the_same_series_twice_is_two_jobs_and_one_result(client: TestClient, series: list[bytes]) -> None:
    first = submit(client, series)
    once = settled(client, first)
    second = submit(client, series)
    assert first != second
    again = [settled(client, location) for location in (second, first)]
    assert {judged(each["series"][0]["result"])["probability"] for each in (once, *again)} == {
        once["series"][0]["result"]["probability"]
    }
    reports = client.get("/dicom-web/instances?Modality=SR").json()
    assert len(reports) == 1


def test_halves_end_as_one(client: TestClient, series: list[bytes]) -> None:
    """Whichever comes first: the jobs of both have the answer about all of it."""
    halves = [submit(client, half) for half in (series[::2], series[1::2])]
    for location in halves:
        eventually(
            lambda location=location: (  # type: ignore[misc]  # a loop variable, bound now
                (result := client.get(location).json()["series"][0]["result"])
                and result["source"]["series"]["slices"] == SLICES
            )
        )


def test_a_job_is_cancelled_with_its_files(patient: TestClient, tmp_path: Path, series: list[bytes]) -> None:
    location = submit(patient, series)
    assert patient.get(location).json()["state"] == "waiting"
    assert patient.get(location).json()["series"][0]["result"] is None
    assert len(waiting_files(tmp_path)) == SLICES
    gone = patient.delete(location)
    assert (gone.status_code, gone.content) == (204, b"")
    assert waiting_files(tmp_path) == []
    assert patient.get(location).json()["state"] == "cancelled"
    assert patient.delete(location).status_code == 204
    state = patient.get(f"{STUDIES}/{derived_uid('study')}/status").json()["series"]
    assert [(each["state"], each["code"]) for each in state] == [("failed", "cancelled")]


def test_what_was_cancelled_can_be_sent_again(patient: TestClient, tmp_path: Path, series: list[bytes]) -> None:
    assert patient.delete(submit(patient, series)).status_code == 204
    again = submit(patient, series[:3])
    assert patient.get(again).json()["state"] == "waiting"
    assert len(waiting_files(tmp_path)) == 3


def test_what_others_sent_too_is_not_cancelled(patient: TestClient, tmp_path: Path, series: list[bytes]) -> None:
    """Neither where they came after the job, nor where they were there before."""
    first = submit(patient, series[:4])
    assert post(patient, series[4:6])[0] == 200
    second = submit(patient, series[6:])
    for location in (first, second):
        refused = patient.delete(location)
        assert problem(refused) == (409, "job_not_cancellable")
        assert patient.get(location).json()["state"] == "waiting"
    assert len(waiting_files(tmp_path)) == SLICES


def test_what_is_judged_is_not_cancelled(client: TestClient, series: list[bytes]) -> None:
    location = submit(client, series)
    settled(client, location)
    assert problem(client.delete(location)) == (409, "job_not_cancellable")
    assert settled(client, location)["series"][0]["result"] is not None


def test_a_result_stands_when_the_same_again_is_cancelled(tmp_path: Path, series: list[bytes]) -> None:
    with started(tmp_path) as client:
        first = submit(client, series)
        settled(client, first)
    settings = Settings(
        models_dir=tmp_path, spool_dir=tmp_path / "state", settle_seconds=LATER_S, quiet_seconds=LATER_S, threads=1
    )
    with TestClient(create_app(settings, backends=arithmetic_backends()), raise_server_exceptions=False) as client:
        wait_until_ready(client)
        second = submit(client, series)
        assert client.get(first).json()["state"] == "waiting"
        assert client.get(first).json()["series"][0]["result"] is None
        assert client.delete(second).status_code == 204
        job = client.get(first).json()
        assert job["state"] == "judged"
        assert job["series"][0]["result"]["decision"] == "cancer_suspected"
        assert client.get(second).json()["state"] == "cancelled"


def test_what_comes_by_stow_keeps_no_answer(client: TestClient, tmp_path: Path, series: list[bytes]) -> None:
    """Nobody could ask for it."""
    assert post(client, series)[0] == 200
    study = derived_uid("study")
    eventually(lambda: client.get(f"{STUDIES}/{study}/status").json()["series"][0]["state"] == "judged")
    assert b'"prediction_set"' not in (tmp_path / "state" / "results.sqlite3").read_bytes()


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"data": {"explain": "true"}}, "invalid_parameter"),
        ({"data": {"guidelines": "bts"}}, "invalid_parameter"),
        ({"data": {"roi": "1,1"}}, "invalid_parameter"),
        ({"data": {"report": "A nodule."}}, "invalid_parameter"),
        ({"data": {"async": "true"}}, "invalid_parameter"),
        ({"headers": {"accept": "application/fhir+json"}}, "not_acceptable"),
    ],
    ids=str,
)
def test_what_a_job_cannot_carry_is_refused(
    patient: TestClient, tmp_path: Path, series: list[bytes], given: dict[str, Any], code: str
) -> None:
    answer = patient.post(ASYNC, files=parts(series[:2]), **given)
    assert problem(answer) == (406 if code == "not_acceptable" else 400, code)
    assert waiting_files(tmp_path) == []


def test_an_odd_value_of_async_is_refused_and_a_false_one_waits(client: TestClient, series: list[bytes]) -> None:
    assert problem(client.post("/v1/studies?async=perhaps", files=parts(series))) == (400, "invalid_parameter")
    assert problem(client.post("/v1/studies?async=1&async=0", files=parts(series))) == (400, "invalid_parameter")
    now = client.post("/v1/studies?async=false", files=parts(series))
    assert now.status_code == 200
    assert "parameter_ignored" not in {note["code"] for note in now.json()["quality"]}


def test_what_is_no_series_is_refused_and_nothing_of_it_kept(
    patient: TestClient, tmp_path: Path, series: list[bytes]
) -> None:
    other = dicom(small(), SeriesInstanceUID=derived_uid("other"), SOPInstanceUID=derived_uid("other 1"))
    bodies: list[tuple[list[bytes], int, str]] = [
        ([series[0], other], 422, "mixed_series"),
        ([b"a letter"], 422, "no_ct_slices"),
        ([zipped([b"a letter"])[:-30]], 400, "malformed_archive"),
    ]
    for files, status, code in bodies:
        assert problem(patient.post(ASYNC, files=parts(files))) == (status, code)
    assert problem(patient.post(ASYNC, content=b"")) == (400, "empty_body")
    assert waiting_files(tmp_path) == []
    assert list((tmp_path / "state" / "spool" / "incoming").iterdir()) == []


def test_a_job_needs_no_place_for_a_series(tmp_path: Path, series: list[bytes]) -> None:
    """Every one is taken; who waits for the answer is refused."""
    with started(tmp_path, settle_seconds=LATER_S, max_series=1) as client:
        services = client.app.state.services  # type: ignore[attr-defined]  # what create_app made
        with services.lane.slot():
            assert problem(client.post("/v1/studies", files=parts(series[:2]))) == (503, "overloaded")
            submit(client, series)


def test_without_a_folder_jobs_are_off_and_the_answer_names_the_setting(tmp_path: Path, series: list[bytes]) -> None:
    with started(tmp_path, spool_dir=None) as client:
        for answer in (
            client.post(ASYNC, files=parts(series)),
            client.get("/v1/jobs/1"),
            client.delete("/v1/jobs/1"),
        ):
            assert problem(answer) == (501, "jobs_off")
            assert "LUNGSCOPE_SPOOL_DIR" in answer.json()["detail"]
        assert not [path for path in client.get("/openapi.json").json()["paths"] if path.startswith("/v1/jobs")]


def test_jobs_that_are_not_there(client: TestClient) -> None:
    for address in (f"/v1/jobs/{uuid.uuid4()}", "/v1/jobs/1'; DROP TABLE submissions", "/v1/jobs/%2e%2e"):
        assert client.get(address).json()["code"] in ("unknown_job", "not_found")
        assert client.delete(address).json()["code"] in ("unknown_job", "not_found")


def test_jobs_have_a_scope_of_their_own(tmp_path: Path, series: list[bytes]) -> None:
    with started(tmp_path, api_token=SecretStr("t" * 32)) as client:
        assert problem(client.post(ASYNC, files=parts(series)))[0] == 401
        mine = {"authorization": "Bearer " + "t" * 32}
        location = submit(client, series, **mine)
        assert problem(client.get(location))[0] == 401
        assert problem(client.delete(location))[0] == 401
        assert settled(client, location, **mine)["state"] == "judged"


def test_the_address_of_a_job_is_below_the_root_path(tmp_path: Path, series: list[bytes]) -> None:
    with started(tmp_path, root_path="/lungscope") as client:
        answer = client.post("/lungscope" + ASYNC, files=parts(series))
        assert answer.headers["location"].startswith("/lungscope/v1/jobs/")
        assert client.get(answer.headers["location"]).status_code == 200


def test_a_job_is_forgotten_with_its_results(tmp_path: Path, series: list[bytes]) -> None:
    with started(tmp_path) as client:
        location = submit(client, series)
        settled(client, location)
        store = client.app.state.services.delivery.store  # type: ignore[attr-defined]  # what create_app made
        store.expire(4e9)
        assert problem(client.get(location)) == (404, "unknown_job")


def test_a_room_that_is_full_refuses_jobs_as_it_does_others(tmp_path: Path, series: list[bytes]) -> None:
    with started(tmp_path, settle_seconds=LATER_S, spool_mb=1) as client:
        incompressible = [slice_file(n, SOPInstanceUID=derived_uid(f"more {n}")) for n in range(64)]
        answers = [client.post(ASYNC, files=parts(incompressible)) for _ in range(2)]
        refused = answers[-1]
        assert problem(refused) == (503, "spool_full")
        assert refused.headers["retry-after"]
        body = client.post(STUDIES, content=related(series[:1]), headers={"Content-Type": RELATED})
        assert problem(body) == (503, "spool_full")
