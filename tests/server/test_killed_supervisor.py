"""What is left of a service whose supervisor was killed: workers that end, and a folder that the next start removes."""

from __future__ import annotations

import gc
import os
import signal
import tempfile
from pathlib import Path

import pytest

from app.errors import SettingsError
from app.locks import try_lock
from app.server.metrics_folder import LOCK, PREFIX, hold, shared_metrics_folder
from app.server.worker_process import long_lived_objects
from app.settings import counts_shared_in
from benchmarks.serving.service import Service, eventually

pytestmark = pytest.mark.usefixtures("temporary")


def abandoned(root: Path) -> Path:
    """What a killed service leaves."""
    folder = root / f"{PREFIX}killed"
    folder.mkdir()
    (folder / LOCK).touch()
    (folder / "counter_1.db").touch()
    return folder


def test_the_folder_is_private_announced_and_gone_afterwards() -> None:
    with shared_metrics_folder() as folder, counts_shared_in(folder):
        assert folder.stat().st_mode & 0o777 == 0o700
        assert os.environ["PROMETHEUS_MULTIPROC_DIR"] == str(folder)
    assert not folder.exists()
    assert "PROMETHEUS_MULTIPROC_DIR" not in os.environ


def test_what_a_killed_service_left_is_removed_and_nothing_else(temporary: Path) -> None:
    left, other, foreign = abandoned(temporary), temporary / "lungscope-notes", temporary / f"{PREFIX}unlocked"
    other.mkdir()
    foreign.mkdir()
    with shared_metrics_folder():
        assert not left.exists()
        assert other.exists()
        assert foreign.exists()


def test_the_folder_of_a_live_service_cannot_be_taken() -> None:
    with shared_metrics_folder() as folder:
        assert try_lock(folder / LOCK) is None


def test_a_worker_that_is_left_keeps_the_folder(temporary: Path) -> None:
    left = abandoned(temporary)
    lock = hold(left)
    assert lock is not None
    with shared_metrics_folder():
        assert left.exists()
    os.close(lock)
    with shared_metrics_folder():
        assert not left.exists()


def test_nowhere_to_write_is_said(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(temporary / "absent"))
    with pytest.raises(SettingsError, match="TMPDIR"), shared_metrics_folder():
        pass


def test_workers_drain_and_end_when_their_supervisor_is_killed(temporary: Path) -> None:
    service = Service(workers=2)
    service.wait_until_ready()
    service.wait_until_ready()
    (left,) = temporary.glob(f"{PREFIX}*")
    service.process.send_signal(signal.SIGKILL)
    service.end()  # its log is at its end once no worker has it open
    assert eventually(lambda: not service.listens())
    assert left.exists()
    with shared_metrics_folder():
        assert not left.exists()


def test_long_lived_objects_are_not_collected_and_the_rest_is() -> None:
    try:
        with long_lived_objects():
            assert not gc.isenabled()
            kept: list[object] = []
        assert gc.isenabled()
        assert gc.get_freeze_count() > 0
        assert not any(each is kept for each in gc.get_objects())
        later: list[object] = []
        assert any(each is later for each in gc.get_objects())
    finally:
        gc.unfreeze()
