"""Chains that are written by several processes, killed, out of room, at odd times, for years."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from app.audit.chain import DAY_S, Chain, ChainLimits, chains_in, files_of
from app.audit.event import Event
from app.audit.verification import verify
from tests.audit.conftest import Trail
from tests.small_disk import fill, small_disk

WRITER = """
import sys
from pathlib import Path
from app.audit.chain import Chain
from app.audit.event import Event
chain = Chain.claim(Path(sys.argv[1]))
for number in range(int(sys.argv[2])):
    chain.append(Event("judge_slice", "alice", request_id=f"{number}"))
    print(chain.seq, flush=True)
sys.stdin.read()
"""


def writer(folder: Path, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(folder), str(count)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def members(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_a_line_says_who_when_and_what_and_is_private(trail: Trail) -> None:
    event = Event(
        "judge_slice",
        "alice",
        address="10.0.0.7",
        request_id="an id",
        input="sha256:aa",
        models={"nodule-classifier/1": "sha256:bb"},
        decision="normal",
        subject={"study": "0123456789abcdef"},
        destinations=("pacs",),
    )
    with trail.chain() as chain:
        chain.append(event)
    opened, line = members(trail.file())
    assert (opened["operation"], opened["seq"], opened["previous"]) == ("open_trail", 1, "0" * 64)
    assert line.items() >= {"seq": 2, "time": "2026-05-28T20:26:40.000000Z", "previous": opened["hash"]}.items()
    assert line.items() >= {"who": "alice", "operation": "judge_slice", "outcome": "done"}.items()
    assert line["models"] == {"nodule-classifier/1": "sha256:bb"}
    assert (line["subject"], line["destinations"]) == ({"study": "0123456789abcdef"}, ["pacs"])
    assert "result" not in line
    assert trail.file().stat().st_mode & 0o777 == 0o600
    assert (trail.folder / "chain-0").stat().st_mode & 0o777 == 0o700


def test_each_process_writes_a_chain_of_its_own_and_the_next_goes_on(trail: Trail) -> None:
    with trail.chain() as one, trail.chain() as other:
        assert (one.path.name, other.path.name) == ("chain-0", "chain-1")
        one.append(Event("start"))
        other.append(Event("start"))
    with trail.chain() as again:
        assert (again.path.name, again.seq) == ("chain-0", 3)
    assert [report.count for report in verify(trail.folder)] == [3, 2]


def test_killed_workers_lose_nothing_that_was_written(trail: Trail) -> None:
    """kill -9 while two of them write: every line that one has told of is there."""
    told = []
    with writer(trail.folder, 20_000) as one, writer(trail.folder, 20_000) as other:
        for worker in (one, other):
            assert worker.stdout is not None
            last = [int(worker.stdout.readline()) for _ in range(50)][-1]
            worker.kill()
            rest = worker.stdout.read().split()
            told.append(int(rest[-1]) if rest else last)
    reports = verify(trail.folder)
    assert not any(report.faults for report in reports)
    assert sorted(report.count for report in reports) >= sorted(told)
    with trail.chain() as chain:  # whoever comes next
        chain.append(Event("start"))
    assert not any(report.faults or report.remarks for report in verify(trail.folder))


def test_a_write_that_was_cut_short_is_taken_back_by_the_next(trail: Trail) -> None:
    trail.write(2)
    with trail.file().open("ab") as file:
        file.write(b'{"seq":4,"time":"2026-')
    (report,) = verify(trail.folder)
    assert (report.faults, report.count) == ([], 3)
    assert "cut short" in report.remarks[0]
    with trail.chain():
        pass
    (report,) = verify(trail.folder)
    assert (report.faults, report.remarks, report.count) == ([], [], 4)
    assert members(trail.file())[-1]["details"] == {"torn_bytes": 22}


def test_a_full_disk_leaves_a_chain_that_goes_on_when_there_is_room(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 2) as disk:
        filler = fill(disk)
        os.truncate(filler, filler.stat().st_size - 64 * 1024)
        chain = Chain.claim(disk)
        with pytest.raises(OSError, match="No space left"):
            write_without_end(chain)
        written = chain.seq
        for _ in range(3):
            with pytest.raises(OSError, match="No space left"):
                chain.append(Event("judge_slice", details={"long": "x" * 5000}))
        filler.unlink()
        chain.append(Event("stop"))
        chain.close()
        (report,) = verify(disk)
        assert (report.faults, report.remarks, report.count) == ([], [], written + 1)


def write_without_end(chain: Chain) -> None:
    while True:
        chain.append(Event("judge_slice", "alice", request_id="an id"))


def test_a_limit_on_the_size_of_files_cuts_no_line(trail: Trail) -> None:
    """A write that takes part of a line, as a limit of the process makes it do."""
    with trail.chain() as chain:
        chain.append(Event("start"))
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (trail.file().stat().st_size + 30, hard))
        try:
            with pytest.raises(OSError, match="No space left"):
                chain.append(Event("judge_slice"))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            signal.signal(signal.SIGXFSZ, ignored)
        chain.append(Event("stop"))
    (report,) = verify(trail.folder)
    assert (report.faults, report.count) == ([], 3)


@pytest.mark.parametrize("step_s", [-86_400.0, 86_400.0 * 365 * 20])
def test_a_clock_that_is_set_is_noted_in_the_line(trail: Trail, step_s: float) -> None:
    with trail.chain() as chain:
        chain.append(Event("start"))
        trail.clocks.set_by(step_s)
        chain.append(Event("judge_slice"))
        trail.clocks.pass_s(3)
        chain.append(Event("judge_slice"))
    written = [line for file in files_of(trail.folder / "chain-0") for line in members(file)]
    noted = [line.get("clock_step_s") for line in written]
    assert noted == [None, None, step_s, None]
    assert not verify(trail.folder)[0].faults


def test_a_clock_that_was_set_back_between_two_processes_is_noted(trail: Trail) -> None:
    trail.write(3)
    trail.clocks.set_by(-7200)
    with trail.chain():
        pass
    assert members(trail.file())[-1]["clock_step_s"] == pytest.approx(-7200, abs=1)
    assert not verify(trail.folder)[0].faults


def test_a_chain_whose_end_is_damaged_stays_as_it_is(trail: Trail) -> None:
    trail.write(2)
    path = trail.file()
    path.write_bytes(path.read_bytes().replace(b"request-1", b"request-9"))
    damaged = path.read_bytes()
    with trail.chain() as chain:
        assert chain.path.name == "chain-1"
    assert path.read_bytes() == damaged
    assert [bool(report.faults) for report in verify(trail.folder)] == [True, False]


def test_files_are_begun_anew_and_kept_for_their_time(trail: Trail) -> None:
    limits = ChainLimits(keep_days=200)
    with trail.chain(limits) as chain:
        for _ in range(60):
            chain.append(Event("judge_slice"))
            trail.clocks.pass_s(DAY_S)
            chain.expire()
        assert len(files_of(chain.path)) == 8  # of eight days each
        assert not verify(trail.folder)[0].remarks
        trail.clocks.pass_s(200 * DAY_S - 60 * DAY_S + 30 * DAY_S)
        # A clock that runs ahead must not empty the trail: a file a day.
        assert [chain.expire() for _ in range(3)] == [1, 0, 0]
        trail.clocks.pass_s(DAY_S)
        assert chain.expire() == 1
    (report,) = verify(trail.folder)
    assert report.faults == []
    assert "were deleted after their time" in report.remarks[0]
    files_of(trail.folder / "chain-0")[0].unlink()
    assert "it follows" in str(verify(trail.folder)[0].faults) or "gone" in str(verify(trail.folder)[0].faults)


def test_lines_are_kept_for_a_year_unless_somebody_says_otherwise() -> None:
    assert ChainLimits().keep_days >= 183


def test_a_folder_that_is_no_chain_is_passed_over(trail: Trail) -> None:
    (trail.folder / "chain-x").mkdir()
    (trail.folder / "chain-7").touch()
    trail.write(1)
    assert [path.name for path in chains_in(trail.folder)] == ["chain-0"]


def test_what_lies_in_the_place_of_a_file_is_not_followed(trail: Trail, tmp_path: Path) -> None:
    (trail.folder / "chain-0").mkdir(0o700)
    (trail.folder / "chain-0" / "000000000001.jsonl").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="No such file"), trail.chain():
        pass
    assert not (tmp_path / "elsewhere").exists()
