"""The spool: what is handed over, when a series is complete, and what survives whom."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.delivery.spool.spool import Spool, SpoolLimits
from app.errors import SpoolFull

LIMITS = SpoolLimits(max_bytes=10_000, keep_hours=1, settle_s=3, quiet_s=30)


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool", LIMITS)


def receive(spool: Spool, *instances: str, series: str = "1.2", whole: bool = False) -> None:
    with spool.reception() as reception:
        for uid in instances:
            with reception.open_part() as part:
                part.write(uid.encode())
            reception.keep(series, uid, whole=whole)
        reception.commit()


def now(spool: Spool) -> float:
    """When the last instance came."""
    return max(path.stat().st_mtime for path in spool.series.iterdir())


def contents(spool: Spool, at: float) -> set[str]:
    claim = spool.claim(at)
    assert claim is not None
    found = {path.read_text() for path in claim.paths}
    claim.done()
    return found


def test_a_request_with_several_is_complete_after_the_short_pause(spool: Spool) -> None:
    receive(spool, "1", "2")
    arrived = now(spool)
    assert spool.claim(arrived + 2) is None
    assert contents(spool, arrived + 4) == {"1", "2"}
    assert len(spool) == 0


def test_one_by_one_needs_the_long_pause(spool: Spool) -> None:
    for uid in ("1", "2", "3"):
        receive(spool, uid)
    arrived = now(spool)
    assert spool.claim(arrived + 29) is None
    assert contents(spool, arrived + 31) == {"1", "2", "3"}


def test_a_multi_frame_image_is_whole_by_itself(spool: Spool) -> None:
    receive(spool, "1", whole=True)
    assert contents(spool, now(spool) + 4) == {"1"}


def test_a_series_still_arriving_is_not_complete(spool: Spool) -> None:
    receive(spool, "1", "2")
    later = now(spool) + 100
    with spool.reception() as reception:
        reception.open_part().close()
        reception.keep("1.2", "3")
        assert spool.claim(later) is None
    assert contents(spool, later) == {"1", "2"}


def test_nothing_uncommitted_is_kept(spool: Spool, tmp_path: Path) -> None:
    with spool.reception() as reception:
        reception.open_part().close()
        reception.keep("1.2", "1")
    assert len(spool) == 0
    assert not list((tmp_path / "spool" / "incoming").iterdir())


def test_one_series_has_one_judge_among_processes_that_share_the_folder(spool: Spool, tmp_path: Path) -> None:
    receive(spool, "1", "2")
    other = Spool(tmp_path / "spool", LIMITS)
    at = now(spool) + 4
    claim = spool.claim(at)
    assert claim is not None
    assert other.claim(at) is None
    claim.release()
    taken = other.claim(at)
    assert taken is not None
    assert taken.id == claim.id
    assert (taken.begin(), taken.begin()) == (1, 2)
    taken.forgive()
    assert taken.begin() == 2


def test_what_a_killed_process_held_is_taken_over(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", SpoolLimits(10_000, 1, 0, 0))
    receive(spool, "1", "2")
    child = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "spool")], cwd=Path(__file__).parents[2], check=False
    )
    assert child.returncode == -9
    at = 4e9
    assert contents(spool, at) == {"1", "2"}
    spool.sweep(0)
    assert not spool.drop_old(0)
    assert not list((tmp_path / "spool" / "incoming").iterdir())


KILLED = """
import os, sys
from pathlib import Path
from app.delivery.spool.spool import Spool, SpoolLimits
spool = Spool(Path(sys.argv[1]), SpoolLimits(10_000, 1, 0, 0))
claim = spool.claim(4e9)
claim.begin()
with spool.reception() as reception:
    reception.open_part().close()
    os.kill(os.getpid(), 9)
"""


def test_names_tell_nothing_and_nobody_else_may_read(spool: Spool, tmp_path: Path) -> None:
    receive(spool, "1.2.840.1", "1.2.840.2", series="1.2.840.3")
    paths = list(tmp_path.rglob("*"))
    assert not [path for path in paths if "1.2.840" in path.name]
    assert (tmp_path / "spool").stat().st_mode & 0o777 == 0o700
    assert Spool(tmp_path / "other", LIMITS).name_of("1.2.840.3") != spool.name_of("1.2.840.3")
    assert Spool(tmp_path / "spool", LIMITS).name_of("1.2.840.3") == spool.name_of("1.2.840.3")


def test_what_nobody_judges_expires(spool: Spool) -> None:
    receive(spool, "1")
    arrived = now(spool)
    assert not spool.drop_old(arrived + 3599)
    assert spool.drop_old(arrived + 3601) == {spool.name_of("1.2"): {spool.name_of("1")}}
    assert len(spool) == 0


def test_a_clock_that_is_set_back_makes_no_series_wait_for_it(spool: Spool) -> None:
    receive(spool, "1", "2")
    yesterday = now(spool) - 86_400
    assert spool.claim(yesterday) is None  # its age is unknown, and counts from here
    assert spool.claim(yesterday + 2) is None
    assert contents(spool, yesterday + 4) == {"1", "2"}


def test_what_is_committed_is_on_the_disk_with_the_folders_that_name_it(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))
    receive(spool, "1", "2")
    (series,) = spool.series.iterdir()
    instances = [path for path in series.iterdir() if not path.name.startswith(".")]
    assert len(instances) == 2
    *files, named, known = synced
    assert set(files) == {path.stat().st_ino for path in instances}
    assert (named, known) == (series.stat().st_ino, spool.series.stat().st_ino)


def test_a_full_spool_refuses(spool: Spool) -> None:
    receive(spool, "x" * 200)
    for path in spool.series.rglob("*"):
        if path.is_file():
            os.truncate(path, 20_000)
    with pytest.raises(SpoolFull), spool.reception():
        pass


def test_requests_beside_each_other_are_all_received(tmp_path: Path) -> None:
    """Each looks how full the spool is, while others make folders, move files and delete what is left."""
    spool = Spool(tmp_path / "spool", SpoolLimits(10_000_000, keep_hours=1, settle_s=3600, quiet_s=3600))

    def send(sender: int) -> None:
        for n in range(25):
            receive(spool, f"{sender}.{n}", series=f"1.{n % 3}")
            spool.check_room()
            spool.sweep(time.time())
            spool.drop_old(time.time())
            assert spool.claim(time.time()) is None

    with ThreadPoolExecutor(6) as senders:
        for sent in [senders.submit(send, n) for n in range(6)]:
            sent.result()
    stored = {path.name for series in spool.series.iterdir() for path in series.iterdir()}
    assert {spool.name_of(f"{sender}.{n}") for sender in range(6) for n in range(25)} <= stored


def test_what_a_request_writes_counts_before_it_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.delivery.spool.spool.CHECK_BYTES", 3000)
    spool = Spool(tmp_path / "spool", LIMITS)
    with spool.reception() as reception, reception.open_part() as part:
        for _ in range(2):
            part.write(bytes(5000))
            part.flush()
            if part.tell() < LIMITS.max_bytes:
                reception.wrote(5000)
        with pytest.raises(SpoolFull):
            reception.wrote(5000)
    assert spool.claim(0) is None
