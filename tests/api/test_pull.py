"""`/v1/pull`, through HTTP, from an archive on this machine, on models whose answers are arithmetic."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from starlette.testclient import TestClient

from benchmarks.serving.service import eventually
from phantoms.series import SLICES, slice_file
from phantoms.slices import SECRET_NAME, derived_uid
from tests.api.archive_peer import BOUNDARY, Archive, answer_with, cut_off, related, serving
from tests.api.test_jobs import LATER_S, problem, settled, started

STUDY, SERIES, OTHER, SCOUT = (derived_uid(name) for name in ("study", "series", "other series", "scout"))
RELATED = f'multipart/related; type="application/dicom"; boundary="{BOUNDARY}"'


@pytest.fixture(scope="module")
def series() -> list[bytes]:
    return [slice_file(index) for index in range(SLICES)]


@pytest.fixture
def archive(series: list[bytes]) -> Iterator[Archive]:
    archive = Archive()
    thinner = [
        slice_file(index, SeriesInstanceUID=OTHER, SOPInstanceUID=derived_uid(f"thinner {index}"))
        for index in range(SLICES)
    ]
    archive.studies[STUDY] = {SERIES: series, OTHER: thinner, "1.2.3": [b"a report"]}
    archive.modalities["1.2.3"] = "SR"
    with serving(archive):
        yield archive


@pytest.fixture
def client(tmp_path: Path, archive: Archive) -> Iterator[TestClient]:
    with started(tmp_path, pull_url=archive.url, retry_seconds=0.01, pull_token=SecretStr("t" * 20)) as client:
        yield client


def pull(client: TestClient, **body: Any) -> str:
    """The address of the job."""
    answer = client.post("/v1/pull", json={"study_instance_uid": STUDY, **body})
    assert answer.status_code == 202, answer.text
    assert answer.json() == {"id": answer.headers["location"].rpartition("/")[2], "state": "received"}
    return str(answer.headers["location"])


def done(client: TestClient, location: str) -> dict[str, Any]:
    """The job once it is fetched and judged, or ended otherwise."""

    def found() -> bool:
        return bool(client.get(location).json()["state"] != "received")

    eventually(found)
    return settled(client, location)


def test_the_ct_series_of_a_study_are_fetched_and_judged(client: TestClient, archive: Archive) -> None:
    job = done(client, pull(client))
    assert (job["state"], job["code"]) == ("judged", None)
    assert {each["series_instance_uid"] for each in job["series"]} == {SERIES, OTHER}
    for each in job["series"]:
        assert each["study_instance_uid"] == STUDY
        assert each["result"]["source"]["series"]["slices"] == SLICES
    root = f"/dicom-web/studies/{STUDY}/series"
    assert sorted(archive.paths()) == sorted([f"{root}?Modality=CT", f"{root}/{SERIES}", f"{root}/{OTHER}"])
    assert {shown for _, shown in archive.asked} == {f"Bearer {'t' * 20}"}


def test_one_series_is_fetched_alone_and_an_archive_that_does_not_match_is_read_all_the_same(
    client: TestClient, archive: Archive
) -> None:
    job = done(client, pull(client, series_instance_uids=[OTHER, OTHER]))
    assert [each["series_instance_uid"] for each in job["series"]] == [OTHER]
    assert archive.paths() == [f"/dicom-web/studies/{STUDY}/series/{OTHER}"]
    archive.matches_modality = False
    assert len(done(client, pull(client))["series"]) == 2


def badly_headed(request: BaseHTTPRequestHandler) -> None:
    """A fault: a line of the head that is none, with the patient in it."""
    request.wfile.write(f"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n{SECRET_NAME}\r\n\r\n".encode())
    request.close_connection = True


def test_no_log_names_the_study_that_is_fetched(
    client: TestClient, archive: Archive, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    archive.faults = [badly_headed]
    assert done(client, pull(client, series_instance_uids=[SERIES]))["state"] == "judged"
    assert len(archive.asked) == 2
    assert not [each for each in (STUDY, SERIES, SECRET_NAME) if each in caplog.text]


def test_what_passes_is_tried_again(client: TestClient, archive: Archive) -> None:
    archive.faults = [answer_with(503), cut_off, answer_with(500)]
    job = done(client, pull(client, series_instance_uids=[SERIES]))
    assert job["state"] == "judged"
    assert len(archive.asked) == 4


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (answer_with(404), "not_at_source"),
        (answer_with(204), "not_at_source"),
        (answer_with(401), "source_refuses"),
        (answer_with(302), "source_refuses"),
        (answer_with(200, b"<html>", "text/html"), "source_malformed"),
        (answer_with(200, related([b"no DICOM"]), RELATED), "not_at_source"),
        (answer_with(200, related([slice_file(1, StudyInstanceUID="1.9")]), RELATED), "not_at_source"),
        (answer_with(200, related([b"x"] * 30), RELATED), "source_sends_too_much"),
        (answer_with(200, related([bytes(5 << 20)]), RELATED), "source_sends_too_much"),
    ],
)
def test_what_does_not_pass_ends_the_job_and_says_why(tmp_path: Path, archive: Archive, fault: Any, code: str) -> None:
    with started(tmp_path, pull_url=archive.url, max_parts=20, max_study_mb=4) as client:
        archive.faults = [fault]
        job = done(client, pull(client, series_instance_uids=[SERIES]))
        assert (job["state"], job["code"], job["series"]) == ("failed", code, [])
        assert len(archive.asked) == 1
        assert not list((tmp_path / "state" / "spool" / "incoming").iterdir())


@pytest.mark.parametrize("found", [b"{}", b'[{"0020000E": 7}]', b"[" * 100_000, b"x" * 100])
def test_an_odd_list_of_series_ends_the_job(client: TestClient, archive: Archive, found: bytes) -> None:
    archive.faults = [answer_with(200, found, "application/dicom+json")]
    job = done(client, pull(client))
    assert (job["state"], job["code"]) in (("failed", "source_malformed"), ("failed", "not_at_source"))


def test_an_archive_cannot_lead_elsewhere_by_the_names_of_series(client: TestClient, archive: Archive) -> None:
    listed = [{"00080060": {"Value": ["CT"]}, "0020000E": {"Value": ["../../../admin"]}}]
    archive.faults = [answer_with(200, str(listed).replace("'", '"').encode(), "application/dicom+json")]
    job = done(client, pull(client))
    assert (job["state"], job["code"]) == ("failed", "source_malformed")
    assert len(archive.asked) == 1


def test_an_archive_that_is_down_is_given_up_in_the_end(tmp_path: Path) -> None:
    with serving(Archive()) as gone:
        pass
    with started(tmp_path, pull_url=gone.url, retry_seconds=0.001) as client:
        job = done(client, pull(client))
        assert (job["state"], job["code"]) == ("failed", "source_unreachable")


def test_what_is_still_to_be_fetched_is_cancelled(tmp_path: Path, archive: Archive) -> None:
    archive.faults = [answer_with(503)] * 9
    with started(tmp_path, pull_url=archive.url, retry_seconds=LATER_S) as client:
        location = pull(client)
        eventually(lambda: client.get(location).json()["code"] == "source_failing")
        assert client.get(location).json()["state"] == "received"
        assert client.delete(location).status_code == 204
        assert client.get(location).json()["state"] == "cancelled"
        assert len(archive.asked) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b'{"study_instance_uid": "../admin"}',
        b'{"study_instance_uid": "1.2", "series_instance_uids": []}',
        b'{"study_instance_uid": "1.2", "series_instance_uids": ["1.2/.."]}',
        b'{"study_instance_uid": "1.2", "url": "http://elsewhere.example"}',
        b'{"study_instance_uid": "1.2", "series_instance_uids": [' + b'"1.2",' * 64 + b'"1.2"]}',
    ],
)
def test_a_body_that_names_no_study_or_more_is_refused(client: TestClient, archive: Archive, body: bytes) -> None:
    answer = client.post("/v1/pull", content=body, headers={"content-type": "application/json"})
    assert problem(answer) == (400, "invalid_parameter")
    assert archive.asked == []


def test_without_an_archive_the_answer_names_the_setting(tmp_path: Path) -> None:
    with started(tmp_path) as client:
        answer = client.post("/v1/pull", json={"study_instance_uid": STUDY})
        assert problem(answer) == (501, "pull_off")
        assert "LUNGSCOPE_PULL_URL" in answer.json()["detail"]


def test_another_type_than_json_is_refused(client: TestClient) -> None:
    answer = client.post("/v1/pull", content=b"{}", headers={"content-type": "text/plain"})
    assert problem(answer) == (415, "unsupported_media_type")
