"""docs/pacs.md as written: a CT series stored in Orthanc comes back as results, with no script between."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import urllib3
from PIL import Image
from pydicom import dcmread
from pydicom.uid import (
    Comprehensive3DSRStorage,
    KeyObjectSelectionDocumentStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)

from app.delivery.database.store import ResultStore
from app.security.pseudonyms import load_key
from benchmarks.serving.service import Service, eventually, free_port
from phantoms.series import SLICES, slice_file
from phantoms.slices import derived_uid
from tests.api.dicomweb.ups_client import OUTPUT, PERFORMED, OverUrllib3, UpsClient, input_item, workitem
from tests.conftest import REPOSITORY
from tests.interop.conftest import Orthanc, require_orthanc

pytestmark = pytest.mark.interop
RESULTS = {
    *(Comprehensive3DSRStorage, KeyObjectSelectionDocumentStorage, SecondaryCaptureImageStorage),
    SegmentationStorage,
}
LARGEST_SHARE = 0.1  # of the source, for all results
TOKEN = secrets.token_hex(16)


class Pair:
    """Orthanc, and the service that it sends to and gets results from, which is not yet there."""

    def __init__(self, folder: Path) -> None:
        self._port, self._folder = free_port(), folder
        self.orthanc = Orthanc(folder, self._port, TOKEN)
        self.service: Service | None = None

    def serve(self) -> Service:
        self.service = Service(
            port=self._port,
            environment={
                "LUNGSCOPE_SPOOL_DIR": str(self._folder / "state"),
                "LUNGSCOPE_API_TOKEN": TOKEN,
                "LUNGSCOPE_PACS_URL": f"{self.orthanc.root}/dicom-web",
                "LUNGSCOPE_PULL_URL": f"{self.orthanc.root}/dicom-web",
            },
        )
        self.service.wait_until_ready()
        return self.service

    def reconcile(self, *arguments: str, folder: Path | None = None) -> dict[str, Any]:
        """What `lungscope jobs reconcile` says of the one study of a day."""
        environment = {
            "LUNGSCOPE_SPOOL_DIR": str(folder or self._folder / "state"),
            "LUNGSCOPE_PULL_URL": f"{self.orthanc.root}/dicom-web",
        }
        command = [sys.executable, "-c", "import sys; from app.cli import main; sys.exit(main())", "jobs", "reconcile"]
        said = subprocess.run(
            [*command, "--since", "2026-11-30T18:00", "--until", "2026-12-01T06:00", "--all", "--json", *arguments],
            env=os.environ | environment,
            capture_output=True,
            text=True,
            check=True,
            cwd=REPOSITORY,
        )
        (told,) = map(json.loads, said.stdout.splitlines())
        return dict(told)

    def resend(self) -> None:
        """What cron runs every minute."""
        environment = {"ORTHANC_URL": self.orthanc.root, "LUNGSCOPE_URL": f"http://127.0.0.1:{self._port}"}
        script = REPOSITORY / "deploy" / "orthanc" / "resend.py"
        subprocess.run([sys.executable, script], env=environment | {"RESEND_SECONDS": "0"}, check=True)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    require_orthanc()
    pair = Pair(tmp_path)
    yield pair
    if pair.service is not None:
        pair.service.process.terminate()
        assert pair.service.end() == 0
    pair.orthanc.end()


def test_what_a_modality_sent_while_the_service_was_down_is_sent_again(pair: Pair, tmp_path: Path) -> None:
    files = [tmp_path / f"{index}.dcm" for index in range(SLICES)]
    for index, path in enumerate(files):
        path.write_bytes(slice_file(index))
    assert pair.orthanc.json("/system")["DicomAet"] == "ORTHANC"
    pair.orthanc.store(files)
    (study,) = pair.orthanc.json("/studies")
    eventually(lambda: [job for job in pair.orthanc.json("/jobs?expand") if job["State"] == "Failure"])
    pair.resend()  # nobody is there
    assert [job["State"] for job in pair.orthanc.json("/jobs?expand")] == ["Failure"]
    pair.serve()
    pair.resend()
    results_in(pair.orthanc, study, last=Comprehensive3DSRStorage)  # nothing that counts is found in it: no outlines
    pair.resend()
    assert [job["State"] for job in pair.orthanc.json("/jobs?expand")] == ["Success"]


def test_series_comes_back_as_results_in_its_own_study(pair: Pair, lidc_0012: list[bytes]) -> None:
    pair.serve()
    orthanc = pair.orthanc
    for data in lidc_0012:
        orthanc.upload(data)
    (study,) = orthanc.json("/studies")
    results = results_in(orthanc, study)
    assert results.keys() >= RESULTS
    source_bytes = sum(map(len, lidc_0012))
    stored_bytes = sum(each["FileSize"] for each in orthanc.json(f"/studies/{study}/instances"))
    assert stored_bytes - source_bytes <= LARGEST_SHARE * source_bytes
    assert len(orthanc.json("/studies")) == 1
    assert len(orthanc.json("/patients")) == 1
    picture = orthanc.get(f"/instances/{results[SecondaryCaptureImageStorage]}/preview", Accept="image/png")
    assert picture.status == 200
    pixels = np.asarray(Image.open(BytesIO(picture.data)).convert("RGB"))
    assert pixels.std() > 10
    assert (pixels.max(axis=2) - pixels.min(axis=2)).max() > 50
    report = dcmread(BytesIO(orthanc.get(f"/instances/{results[Comprehensive3DSRStorage]}/file").data))
    source = dcmread(BytesIO(lidc_0012[0]), stop_before_pixels=True)
    assert report.StudyInstanceUID == source.StudyInstanceUID
    assert report.PatientID == source.PatientID


def test_a_series_is_fetched_from_orthanc(pair: Pair) -> None:
    for index in range(SLICES):
        pair.orthanc.upload(slice_file(index))
    service = pair.serve()
    http = urllib3.PoolManager(headers={"Authorization": f"Bearer {TOKEN}"})
    answer = http.request("POST", service.url("/v1/pull"), json={"study_instance_uid": derived_uid("study")})
    assert answer.status == 202, answer.data
    job = service.url(answer.headers["Location"])
    eventually(lambda: http.request("GET", job).json()["state"] in ("judged", "delivering", "delivered", "failed"))
    found = http.request("GET", job).json()
    assert [each["result"]["source"]["series"]["slices"] for each in found["series"]] == [SLICES], found


def test_what_came_in_an_outage_is_fetched_once(pair: Pair, tmp_path: Path) -> None:
    for index in range(SLICES):
        pair.orthanc.upload(slice_file(index, StudyDate="20261130", StudyTime="233000"))
    pair.orthanc.upload(slice_file(0, **elsewhere("earlier"), StudyDate="20261130", StudyTime="120000"))
    eventually(lambda: len([job for job in pair.orthanc.json("/jobs?expand") if job["State"] == "Failure"]) == 2)
    service = pair.serve()
    assert pair.reconcile("--dry-run")["outcome"] == "missing"
    job = service.url(f"/v1/jobs/{pair.reconcile()['job']}")
    http = urllib3.PoolManager(headers={"Authorization": f"Bearer {TOKEN}"})
    eventually(lambda: http.request("GET", job).json()["state"] in ("delivered", "failed"))
    assert http.request("GET", job).json()["state"] == "delivered"
    assert pair.reconcile()["outcome"] == "known"
    # Another service, which has judged nothing: the report in the archive speaks.
    other = tmp_path / "other"
    other.mkdir()
    load_key(other)
    ResultStore(other / "results.sqlite3")
    assert pair.reconcile(folder=other)["outcome"] == "reported"


def elsewhere(name: str) -> dict[str, Any]:
    """The UIDs of a slice of another study."""
    keywords = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
    return {keyword: derived_uid(f"{name} {keyword}") for keyword in keywords}


def test_a_workitem_is_performed_on_a_series_of_orthanc(pair: Pair) -> None:
    for index in range(SLICES):
        pair.orthanc.upload(slice_file(index))
    client = UpsClient(OverUrllib3(pair.serve().url(""), Authorization=f"Bearer {TOKEN}"))
    uid = derived_uid("workitem")
    assert client.create(uid, workitem(input_item(derived_uid("study"), derived_uid("series")))).status_code == 201
    eventually(lambda: client.state(uid) in ("COMPLETED", "CANCELED"))
    told = client.workitem(uid)
    assert client.state(uid) == "COMPLETED", told
    (step,) = told[PERFORMED]["Value"]
    assert step[OUTPUT]["Value"]


def results_in(orthanc: Orthanc, study: str, last: str = SegmentationStorage) -> dict[str, str]:
    """One instance of every SOP class in a study, once the last of its results is there."""

    def complete() -> dict[str, str] | None:
        found = {sop_class(orthanc, each["ID"]): each["ID"] for each in orthanc.json(f"/studies/{study}/instances")}
        return found if last in found else None

    return eventually(complete) or {}


def sop_class(orthanc: Orthanc, instance: str) -> str:
    return orthanc.get(f"/instances/{instance}/metadata/SopClassUid").data.decode()
