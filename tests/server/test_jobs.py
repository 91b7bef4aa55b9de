"""Jobs of the real service: each that was taken on is answered, whoever is killed meanwhile."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import urllib3

from benchmarks.serving.processes import tree_of
from benchmarks.serving.service import PATIENCE_S, Service, eventually
from phantoms.series import SLICES, slice_file
from phantoms.slices import derived_uid
from tests.server.test_service import children

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
JOBS = 4


def series(number: int) -> list[bytes]:
    """One of several series."""
    own: dict[str, Any] = {
        "SeriesInstanceUID": derived_uid(f"series {number}"),
        "StudyInstanceUID": derived_uid(f"study {number}"),
    }
    return [slice_file(n, SOPInstanceUID=derived_uid(f"slice {number} {n}"), **own) for n in range(SLICES)]


def start(folder: Path, workers: int, settle_s: int = 0) -> Service:
    environment = {"LUNGSCOPE_SPOOL_DIR": str(folder), "LUNGSCOPE_SETTLE_SECONDS": str(settle_s)}
    service = Service(workers=workers, environment=environment)
    for _ in range(workers):
        service.wait_until_ready()
    return service


def submit(http: urllib3.PoolManager, service: Service, files: list[bytes]) -> str:
    """The path of the job."""
    fields = [("files", (f"{n}.dcm", data, "application/dicom")) for n, data in enumerate(files)]
    answer = http.request("POST", service.url("/v1/studies?async=true"), fields=fields)
    assert answer.status == 202, answer.data
    return str(answer.headers["Location"])


def job_of(http: urllib3.PoolManager, service: Service, path: str) -> dict[str, Any]:
    answer = http.request("GET", service.url(path))
    assert answer.status == 200, answer.data
    body: dict[str, Any] = answer.json()
    return body


def kill(pids: list[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):  # it ended with what it was forked from
            os.kill(pid, signal.SIGKILL)


def test_jobs_survive_the_death_of_every_process(tmp_path: Path) -> None:
    http = urllib3.PoolManager(timeout=PATIENCE_S, retries=urllib3.Retry(connect=20, read=20, backoff_factor=0.1))
    first = start(tmp_path, workers=1, settle_s=600)
    paths = [submit(http, first, series(number)) for number in range(JOBS)]
    assert {job_of(http, first, path)["state"] for path in paths} == {"waiting"}
    kill(sorted(tree_of(first.process.pid)))
    first.end()
    second = start(tmp_path, workers=2)
    try:
        kill(sorted(children(second)))  # they judge, or are about to, or have: all of it must come to the same
        for number, path in enumerate(paths):
            eventually(lambda path=path: job_of(http, second, path)["state"] == "judged")  # type: ignore[misc]  # bound now
            (found,) = job_of(http, second, path)["series"]
            assert found["series_instance_uid"] == derived_uid(f"series {number}")
            assert found["result"]["source"]["series"]["slices"] == SLICES
            assert found["result"]["decision"] in ("cancer_suspected", "indeterminate", "normal")
        assert len(http.request("GET", second.url("/dicom-web/instances?Modality=SR")).json()) == JOBS
    finally:
        second.process.terminate()
        assert second.end() == 0
