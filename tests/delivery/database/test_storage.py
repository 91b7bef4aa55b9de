"""A disk that is full or cannot be written: said once, waited for, nothing half-written, nothing done in vain."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from app.delivery.database.storage import MAX_PAUSE_S, StorageWatch
from app.delivery.database.store import ResultStore
from app.delivery.judging import SpoolWork
from app.delivery.spool import spool as spool_module
from app.delivery.spool.spool import Spool, SpoolLimits
from app.delivery.worker import DeliveryWork, Repeating
from app.errors import SettingsError, StorageFull, StorageUnavailable
from app.private_files import state_folder, sync
from app.reports.result import SeriesResult
from app.telemetry import Metrics
from benchmarks.serving.receiver import Receiver, receiving
from tests.clock import Clock
from tests.delivery.spool.test_spool import LIMITS, receive
from tests.delivery.test_worker import LATER, delivering, judging, put, result
from tests.small_disk import fill, small_disk

FAULTS: Final = [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EIO]


@pytest.fixture
def watch(tmp_path: Path, clock: Clock) -> StorageWatch:
    return StorageWatch(tmp_path, clock=clock)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", 16) as folder:
        yield folder


def room_on(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


@pytest.mark.parametrize("fault", FAULTS)
def test_a_failure_is_said_once_and_over_when_it_can_be_written(
    watch: StorageWatch, clock: Clock, fault: int, caplog: pytest.LogCaptureFixture
) -> None:
    changes: list[bool] = []
    watch.on_change = changes.append
    for _ in range(3):
        with pytest.raises((StorageFull, StorageUnavailable), match=os.strerror(fault)), watch.guard():
            raise OSError(fault, os.strerror(fault), "/a/path/DOE^JANE")
    assert watch.trouble == os.strerror(fault)
    assert isinstance(watch._refusal(), StorageFull) == (fault in FAULTS[:3])
    clock.now += 1
    assert watch.look() is None
    assert changes == [False, True]
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
    assert "DOE" not in caplog.text


def test_work_that_fails_again_is_kept_back_longer_each_time(watch: StorageWatch, clock: Clock) -> None:
    pauses = []
    for _ in range(8):
        watch.failed(sqlite3.OperationalError("database or disk is full"))
        began = clock.now
        while not watch.may_work():
            clock.now += 1
        pauses.append(clock.now - began)
    assert pauses == [1, 2, 4, 8, 16, 32, MAX_PAUSE_S, MAX_PAUSE_S]
    watch.succeeded()
    watch.failed(OSError(errno.EIO, "x"))
    clock.now += 1
    assert watch.may_work()


def _locked() -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("database is locked")
    error.sqlite_errorcode = sqlite3.SQLITE_BUSY
    return error


def test_it_lasts_while_the_probe_fails(tmp_path: Path, clock: Clock) -> None:
    broken = [True]

    def probe() -> None:
        if broken:
            raise _locked()

    watch = StorageWatch(tmp_path, probe, clock)
    watch.failed(_locked())
    clock.now += 5
    assert watch.look() == "database is locked"
    broken.clear()
    clock.now += 5
    assert watch.look() is None


def test_a_full_disk_is_seen_before_anything_fails(disk: Path, clock: Clock) -> None:
    watch = StorageWatch(disk, clock=clock)
    assert watch.look() is None
    filler = fill(disk)
    clock.now += 1
    with pytest.raises(StorageFull):
        watch.require()
    for free, trouble in ((1 << 20, True), (6 << 20, True), (10 << 20, False)):
        os.truncate(filler, filler.stat().st_size + room_on(disk) - free)
        clock.now += 1
        assert (watch.look() is not None) == trouble


def test_a_folder_that_is_deleted_is_made_again(tmp_path: Path, clock: Clock) -> None:
    spool = Spool(tmp_path / "spool", LIMITS)
    watch = StorageWatch(tmp_path, clock=clock)
    watch.mend = spool.make_places
    for each in sorted((tmp_path / "spool").rglob("*"), reverse=True):
        each.rmdir() if each.is_dir() else each.unlink()
    (tmp_path / "spool").rmdir()
    with pytest.raises(StorageUnavailable), watch.guard():
        receive(spool, "1")
    clock.now += 1
    assert watch.look() is None
    receive(spool, "1")


@pytest.mark.parametrize("uids", [("1",), ("1", "2", "3")])
@pytest.mark.parametrize("fails_at", range(8))
def test_what_cannot_be_committed_whole_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uids: tuple[str, ...], fails_at: int
) -> None:
    """The n-th call that writes while a request is handed over fails, whichever it is."""
    spool = Spool(tmp_path / "spool", LIMITS)
    receive(spool, "1", "old")
    before = {path.name for path in spool.series.rglob("*")}
    calls = [0]

    def failing(call: Callable[..., object]) -> Callable[..., object]:
        def wrapped(*arguments: object, **options: object) -> object:
            calls[0] += 1
            if calls[0] == fails_at + 1:
                raise OSError(errno.ENOSPC, "No space left on device")
            return call(*arguments, **options)

        return wrapped

    def commit() -> None:
        with spool.reception() as reception:
            for series in ("1.2", "new"):
                for uid in uids:
                    with reception.open_part() as part:
                        part.write(uid.encode())
                    reception.keep(series, uid)
            with monkeypatch.context() as patches:
                patches.setattr(Path, "rename", failing(Path.rename))
                patches.setattr(Path, "touch", failing(Path.touch))
                patches.setattr(spool_module, "sync", failing(sync))
                reception.commit()

    try:
        commit()
    except OSError:
        assert {path.name for path in spool.series.rglob("*")} == before
    else:
        assert fails_at >= calls[0]
    assert not list((tmp_path / "spool" / "incoming").iterdir())
    calls[0] = fails_at + 1
    commit()


def test_six_senders_of_one_series_among_sweeps_and_judges_lose_nothing(tmp_path: Path) -> None:
    spools = [Spool(tmp_path / "spool", SpoolLimits(1 << 20, 1, 0, 0)) for _ in range(2)]

    def send(number: int) -> int:
        for _ in range(25):
            receive(spools[number % 2], "same", f"own {number}")
        return 25

    judged: list[str] = []

    def judge(number: int) -> int:
        for _ in range(100):
            spools[number].sweep(0)
            if (claim := spools[number].claim(LATER)) is not None:
                judged.extend(path.read_text() for path in claim.paths)
                claim.done()
        return 0

    with ThreadPoolExecutor(8) as pool:
        sent = [pool.submit(send, number) for number in range(6)]
        judges = [pool.submit(judge, number) for number in range(2)]
        assert sum(each.result() for each in [*sent, *judges]) == 150
    judge(0)
    assert set(judged) == {"same", *(f"own {number}" for number in range(6))}
    assert len(spools[0]) == 0


def test_nothing_is_judged_that_could_not_be_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def judge(*_: object) -> SeriesResult:
        calls.append(1)
        return SeriesResult([result()])

    store = ResultStore(tmp_path / "results.sqlite3")
    clock = Clock()
    store.watch = StorageWatch(tmp_path, store.probe, clock)
    worker: SpoolWork = judging(tmp_path, store, judge)
    receive(worker.spool, "1")
    with monkeypatch.context() as patches:
        patches.setattr(ResultStore, "put", lambda *_, **__: _full())
        for _ in range(60):  # a minute of steps
            assert not worker.step(LATER)
            clock.now += 1
        assert len(calls) == 6
        assert store.watch.trouble is not None or not store.watch.may_work()
    clock.now += MAX_PAUSE_S
    assert worker.step(LATER)
    assert (store.find(), len(worker.spool)) == (["2.25.1"], 0)


def test_what_is_too_old_goes_from_a_full_disk(tmp_path: Path) -> None:
    store = ResultStore(tmp_path / "results.sqlite3")
    spool = Spool(tmp_path / "spool", SpoolLimits(1 << 20, 1, 1e6, 1e6))
    worker = replace(judging(tmp_path, store, lambda *_: pytest.fail("judged")), spool=spool)
    receive(spool, "1")
    store.watch.failed(OSError(errno.ENOSPC, "No space left on device"))
    assert not worker.step(LATER)
    assert len(spool) == 0


def _full() -> None:
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    raise error


@pytest.mark.parametrize("content", ["no bytes", "\ud800", None, object()])
def test_results_that_cannot_be_written_are_the_fault_of_their_series_alone(tmp_path: Path, content: Any) -> None:
    store = ResultStore(tmp_path / "results.sqlite3")
    metrics = Metrics()
    tried: list[str] = []

    def judge(paths: Sequence[Path], *_: object) -> SeriesResult:
        tried.append(name := paths[0].read_text())
        return SeriesResult([result("2.25.7") if name == "good" else replace(result(), series_uid=content)])

    worker = judging(tmp_path, store, judge, metrics)
    receive(worker.spool, "bad", series="bad")
    receive(worker.spool, "good", series="good")
    while worker.step(LATER):
        pass
    counts = {
        outcome: metrics.registry.get_sample_value("lungscope_spooled_series_total", {"outcome": outcome})
        for outcome in ("judged", "failed")
    }
    expected = {"judged": 2, "failed": None} if content == "no bytes" else {"judged": 1, "failed": 1}
    assert (counts, len(worker.spool), store.watch.trouble) == (expected, 0, None)


def test_nothing_is_sent_that_could_not_be_crossed_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ResultStore(tmp_path / "results.sqlite3")
    clock = Clock()
    store.watch = StorageWatch(tmp_path, store.probe, clock)
    put(store, result())
    with receiving(Receiver()) as receiver:
        worker: DeliveryWork = delivering(store, tmp_path, receiver.url)
        with monkeypatch.context() as patches:
            patches.setattr(ResultStore, "settle", lambda *_, **__: _full())
            for _ in range(60):
                assert not worker.step(0)
                clock.now += 1
        assert len(receiver.requests) == 6
        clock.now += MAX_PAUSE_S
        assert worker.step(0)
    assert store.waiting("pacs") == 0


def test_a_step_that_always_fails_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    waits: list[float] = []

    def step() -> bool:
        raise ZeroDivisionError

    thread = Repeating("judging", step)

    class Stop:
        def is_set(self) -> bool:
            return len(waits) == 9

        def wait(self, seconds: float) -> None:
            waits.append(seconds)

    thread._stop = Stop()  # type: ignore[assignment]  # seconds that pass at once
    thread.start()
    thread.join()
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert len(caplog.records) == 1


def test_a_folder_of_ours_is_made_private(tmp_path: Path) -> None:
    loose = tmp_path / "loose"
    loose.mkdir()
    loose.chmod(0o777)
    for folder in (loose, tmp_path / "made" / "within"):
        state_folder(folder)
        assert folder.stat().st_mode & 0o7777 == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a folder to another user")
def test_a_folder_of_another_is_refused_when_others_may_enter_it(tmp_path: Path) -> None:
    os.chown(tmp_path, 12345, -1)
    state_folder(tmp_path)  # 0700, as pytest made it
    tmp_path.chmod(0o755)
    with pytest.raises(SettingsError, match="another user"):
        state_folder(tmp_path)


@pytest.mark.parametrize("name", ["file", "file/in it", "link", "loop"])
def test_where_there_can_be_no_folder_it_is_said(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(SettingsError, match="LUNGSCOPE_SPOOL_DIR"):
        state_folder(tmp_path / name)
