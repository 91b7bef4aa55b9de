"""Workitems of the real service under kill -9: each that was created ends, with results, whoever is killed."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from benchmarks.serving.processes import tree_of
from benchmarks.serving.service import Service, eventually
from phantoms.series import SLICES, slice_file
from phantoms.slices import derived_uid
from tests.api.archive_peer import Archive, serving
from tests.api.dicomweb import ups_client as ups
from tests.api.dicomweb.ups_client import OverUrllib3, UpsClient, input_item, workitem
from tests.server.test_service import children

pytestmark = [pytest.mark.faults, pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")]
WORKITEMS = 4


@pytest.fixture
def archive() -> Iterator[Archive]:
    archive = Archive()
    for number in range(WORKITEMS):
        own: dict[str, Any] = {"StudyInstanceUID": derived_uid(f"study {number}")}
        own["SeriesInstanceUID"] = derived_uid(f"series {number}")
        slices = [slice_file(n, SOPInstanceUID=derived_uid(f"slice {number} {n}"), **own) for n in range(SLICES)]
        archive.studies[own["StudyInstanceUID"]] = {own["SeriesInstanceUID"]: slices}
    with serving(archive):
        yield archive


def start(folder: Path, archive: Archive, workers: int) -> Service:
    environment = {
        "LUNGSCOPE_SPOOL_DIR": str(folder),
        "LUNGSCOPE_PULL_URL": archive.url,
        "LUNGSCOPE_SETTLE_SECONDS": "0",
        "LUNGSCOPE_RETRY_SECONDS": "0.1",
    }
    service = Service(workers=workers, environment=environment)
    for _ in range(workers):
        service.wait_until_ready()
    return service


def kill(pids: Iterable[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):  # it ended with what it was forked from
            os.kill(pid, signal.SIGKILL)


def test_workitems_survive_the_death_of_every_process(tmp_path: Path, archive: Archive) -> None:
    uids = [derived_uid(f"workitem {number}") for number in range(WORKITEMS)]
    first = start(tmp_path, archive, workers=1)
    client = UpsClient(OverUrllib3(first.url("")))
    for number, uid in enumerate(uids):
        assert client.create(uid, workitem(input_item(derived_uid(f"study {number}")))).status_code == 201
    eventually(lambda: client.found("ProcedureStepState=IN%20PROGRESS"))
    kill(sorted(tree_of(first.process.pid)))
    first.end()
    second = start(tmp_path, archive, workers=2)
    client = UpsClient(OverUrllib3(second.url("")))
    try:
        for done in (1, WORKITEMS // 2):
            eventually(lambda done=done: len(client.found("ProcedureStepState=COMPLETED")) >= done)  # type: ignore[misc]  # bound now
            kill(sorted(children(second)))
        eventually(lambda: len(client.found("ProcedureStepState=COMPLETED")) == WORKITEMS)
        for uid in uids:
            (step,) = client.workitem(uid)[ups.PERFORMED]["Value"]
            assert step[ups.OUTPUT]["Value"], uid
        reports = client.http.request("GET", "/dicom-web/instances?Modality=SR", headers={}).json()
        assert len(reports) == WORKITEMS
    finally:
        second.process.terminate()
        assert second.end() == 0
