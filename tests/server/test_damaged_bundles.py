"""A damaged bundle that is put beside a good one ends nobody who serves the good one."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.serving.service import MODELS, PATIENCE_S, Service, eventually
from tests.server.test_service import children

NAME = "nodule-classifier"
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return Path(shutil.copytree(MODELS, tmp_path / "models"))


@pytest.fixture
def workers(models: Path) -> Iterator[Service]:
    service = Service(models, 2)
    for _ in range(2):
        service.wait_until_ready()
    yield service
    service.process.terminate()
    assert service.end() == 0


def put_beside(models: Path, version: int, *, damaged: bool) -> None:
    path = models / NAME / str(version)
    shutil.copytree(models / NAME / "1", path)
    if damaged:
        (path / "saved_model.pb").write_bytes(b"cut short")
        (path / "manifest.json").touch()


def asked(service: Service, path: str) -> dict[str, object]:
    with urllib.request.urlopen(service.url(path), timeout=PATIENCE_S) as response:
        found: dict[str, object] = json.load(response)
    return found


def test_a_damaged_newer_version_is_named_and_never_served(workers: Service, models: Path) -> None:
    before = children(workers)
    assert asked(workers, "/health/ready")["reason"] == "model ready"
    put_beside(models, 2, damaged=True)
    reason = str(asked(workers, "/health/ready")["reason"])
    assert reason.startswith(f"model ready; not served: {NAME}/2/saved_model.pb: sha256 ")
    assert str(models) not in reason
    # A worker that dies is replaced by one that serves what the others serve.
    os.kill(min(before), signal.SIGKILL)
    workers.wait_until_ready()
    assert eventually(lambda: len(children(workers)) == 2)
    # A reload takes nothing, and ends nobody.
    between = children(workers)
    workers.process.send_signal(signal.SIGHUP)
    assert any("nothing is reloaded" in line for line in workers.log())
    assert children(workers) == between


def test_a_reload_takes_a_good_one_and_a_worker_replaced_later_keeps_it(workers: Service, models: Path) -> None:
    before = children(workers)
    put_beside(models, 3, damaged=False)
    workers.process.send_signal(signal.SIGHUP)
    for _ in range(2):
        workers.wait_until_ready()
    assert eventually(lambda: len(children(workers)) == 2 and not children(workers) & before)
    put_beside(models, 4, damaged=True)
    os.kill(min(children(workers)), signal.SIGKILL)
    workers.wait_until_ready()
    assert eventually(lambda: len(children(workers)) == 2)


def test_files_of_the_served_version_that_are_damaged_later_end_nobody_who_has_loaded_them(
    workers: Service, models: Path
) -> None:
    first, second = sorted(children(workers))
    (models / NAME / "1" / "saved_model.pb").write_bytes(b"damaged in place")
    os.kill(first, signal.SIGKILL)
    lines = workers.log()
    assert any("soon after its start" in line for line in lines)
    assert second in children(workers)
    assert asked(workers, "/health/ready")["status"] == "ok"
