"""What lies in the spool and does not belong there, or is damaged: it goes to quarantine, the rest is judged."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import pytest

from app.delivery.database.store import ResultStore
from app.delivery.judging import SpoolWork
from app.delivery.spool.spool import Spool, SpoolLimits
from app.inference.series_lane import SeriesLane
from app.reports.result import ObjectKind, SeriesResult
from app.telemetry import Metrics
from tests.delivery.spool.test_spool import receive

LATER: Final = 4e9
LIMITS: Final = SpoolLimits(1 << 20, 1e9, 0, 0)
SECRET: Final = "DOE^JANE"
Put = Callable[[Path], None]


def a_file(path: Path) -> None:
    path.write_bytes(b"x")


def an_empty_file(path: Path) -> None:
    path.touch()


def a_folder(path: Path) -> None:
    path.mkdir()
    (path / "in it").write_bytes(b"x")


def a_dangling_link(path: Path) -> None:
    path.symlink_to("nowhere")


def a_link_to_itself(path: Path) -> None:
    path.symlink_to(path.name)


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # the name of a socket has a hundred characters at most
    try:
        with socket.socket(socket.AF_UNIX) as each:
            each.bind(path.name)
    finally:
        os.chdir(here)


def an_unreadable_file(path: Path) -> None:
    path.write_bytes(b"x")
    path.chmod(0)


def an_unreadable_folder(path: Path) -> None:
    path.mkdir(0)


NO_FOLDERS: Final = [a_file, an_empty_file, a_dangling_link, a_link_to_itself, a_pipe, a_socket, an_unreadable_file]


class Worker:
    """Judges what is in a spool; knows which instances it got."""

    def __init__(self, folder: Path) -> None:
        self.metrics = Metrics()
        self.folder = folder / "spool"
        self.spool = Spool(self.folder, LIMITS, self.metrics.quarantined.inc)
        self.judged: list[list[str]] = []
        owed: dict[ObjectKind, Sequence[str]] = {}
        store = ResultStore(folder / "results.sqlite3")
        self.judging = SpoolWork(self.spool, store, SeriesLane(1), self._judge, owed, self.metrics, keep_hours=1)

    def _judge(self, paths: Sequence[Path], *_: object) -> SeriesResult:
        self.judged.append(sorted(path.read_text() for path in paths))
        return SeriesResult(())

    def run(self) -> None:
        while self.judging.step(LATER):
            pass

    def count(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, labels)

    @property
    def quarantined(self) -> list[Path]:
        return list((self.folder / "quarantine").iterdir())


@pytest.fixture
def worker(tmp_path: Path) -> Worker:
    return Worker(tmp_path)


@pytest.mark.parametrize("place", ["series", "judging", "incoming"])
@pytest.mark.parametrize("put", NO_FOLDERS)
def test_no_folder_where_one_belongs(worker: Worker, put: Put, place: str, caplog: pytest.LogCaptureFixture) -> None:
    put(worker.folder / place / SECRET)
    receive(worker.spool, "1", "2")
    worker.run()
    assert worker.judged == [["1", "2"]]
    assert len(worker.quarantined) == worker.count("lungscope_spool_quarantined_total") == 1
    assert not list((worker.folder / place).iterdir())
    assert caplog.text.count("in quarantine") == 1
    assert SECRET not in caplog.text
    assert (worker.folder / "quarantine").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("put", [a_folder, an_unreadable_folder])
def test_a_foreign_folder_among_the_series(worker: Worker, put: Put) -> None:
    put(worker.folder / "series" / SECRET)
    receive(worker.spool, "1")
    worker.run()
    assert worker.judged == [["1"]]
    assert len(worker.quarantined) == 1


@pytest.mark.parametrize("put", [a_folder, an_empty_file, a_dangling_link, a_link_to_itself, a_pipe, a_socket])
@pytest.mark.parametrize("name", [SECRET, "0" * 32])
def test_no_instance_where_one_belongs(worker: Worker, put: Put, name: str) -> None:
    receive(worker.spool, "1", "2")
    (series,) = worker.spool.series.iterdir()
    put(series / name)
    receive(worker.spool, "3", series="another")
    worker.run()
    assert sorted(worker.judged) == [["1", "2"], ["3"]]
    assert len(worker.quarantined) == 1


@pytest.mark.parametrize("name", [b"\xff\xfe", b"a\nb", b" ", b"0" * 32 + b"\n", "\u202e".encode(), b"x" * 255])
def test_names_of_any_bytes(worker: Worker, name: bytes) -> None:
    receive(worker.spool, "1")
    (series,) = worker.spool.series.iterdir()
    for place in (series, worker.spool.series, worker.folder / "judging", worker.folder / "incoming"):
        a_file(place / os.fsdecode(name))
    worker.run()
    assert worker.judged == [["1"]]
    assert len(worker.quarantined) == 4


@pytest.mark.parametrize("put", [a_file, a_folder, a_dangling_link, a_link_to_itself, a_socket, an_unreadable_file])
def test_something_else_where_a_lock_belongs(worker: Worker, put: Put) -> None:
    receive(worker.spool, "1")
    (series,) = worker.spool.series.iterdir()
    put(series / ".lock")
    (worker.folder / ".gate").unlink()
    put(worker.folder / ".gate")
    worker.run()
    assert worker.judged == [["1"]]


@pytest.mark.parametrize("garbage", [b"\xff\xfe garbage", b"-7", b"9" * 15, b"", b"1e9", b"\0" * 64])
def test_garbage_where_attempts_are_counted(worker: Worker, garbage: bytes) -> None:
    receive(worker.spool, "1")
    (series,) = worker.spool.series.iterdir()
    (series / ".lock").write_bytes(garbage)
    worker.run()
    assert worker.judged == [["1"]]


def test_what_cannot_be_read_three_times_is_set_apart_and_the_rest_goes_on(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    receive(worker.spool, "bad", series="bad")
    receive(worker.spool, "good", series="good")
    read = Path.read_text

    def fails(path: Path) -> str:
        if (text := read(path)) == "bad":
            raise OSError(5, "Input/output error")
        return text

    monkeypatch.setattr(Path, "read_text", fails)
    worker.run()
    assert worker.judged == [["good"]]
    assert len(worker.quarantined) == 1
    assert worker.count("lungscope_spooled_series_total", outcome="unreadable") == 1


@pytest.mark.parametrize("put", NO_FOLDERS)
@pytest.mark.parametrize("place", ["incoming", "series", "judging", "trash", "quarantine", ".salt", ".gate"])
def test_a_start_on_something_else_in_place_of_a_folder_or_file(tmp_path: Path, put: Put, place: str) -> None:
    (tmp_path / "spool").mkdir()
    put(tmp_path / "spool" / place)
    worker = Worker(tmp_path)
    receive(worker.spool, "1")
    worker.run()
    assert worker.judged == [["1"]]


def test_a_folder_in_place_of_an_acknowledged_instance_does_not_stop_the_next_request(worker: Worker) -> None:
    place = worker.spool.series / worker.spool.name_of("1.2")
    a_folder(place)
    a_folder(place / worker.spool.name_of("1"))
    receive(worker.spool, "1", "2")
    worker.run()
    assert worker.judged == [["1", "2"]]


def test_quarantine_is_emptied_with_what_is_too_old(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", SpoolLimits(1 << 20, 1, 0, 0))
    a_file(tmp_path / "spool" / "series" / "file")
    assert spool.claim(LATER) is None
    (entry,) = (tmp_path / "spool" / "quarantine").iterdir()
    came = entry.lstat().st_ctime
    spool.sweep(came + 3500)
    assert entry.exists()
    spool.sweep(came + 3700)
    assert not entry.exists()


@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
def test_nobody_else_may_read_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        worker = Worker(tmp_path)
        receive(worker.spool, "1", "2")
    finally:
        os.umask(before)
    modes = {(path.is_dir(), path.stat().st_mode & 0o777) for path in tmp_path.rglob("*")}
    assert modes == {(True, 0o700), (False, 0o600)}
