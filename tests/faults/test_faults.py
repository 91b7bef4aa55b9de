"""Faults of processes, disks, files and the clock on one running service (make test-faults): what was in flight may
fail, health tells, nothing that was accepted is lost, and nothing loops."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sqlite3
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError

import pytest

from app.audit.verification import verify
from app.security.keys import new_key
from benchmarks.serving.processes import tree_of
from benchmarks.serving.service import MODELS, PATIENCE_S, Service, eventually
from tests.faults.beside import CALLERS, LOST, Callers, Sender
from tests.server.test_service import children
from tests.small_disk import fill, small_disk

pytestmark = [pytest.mark.faults, pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")]
STATE_MB, AUDIT_MB, TEMPORARY_MB = 48, 8, 24
MAX_LINES = 25  # of one kind in the log of all faults together


@dataclass
class Running:
    """The service with its places, who uses it, and the chains of the trail that were damaged on purpose."""

    service: Service
    folder: Path
    callers: Callers
    sender: Sender
    damaged_chains: set[str]

    def health(self) -> tuple[int, str]:
        """What readiness says."""
        try:
            with urllib.request.urlopen(self.service.url("/health/ready"), timeout=PATIENCE_S) as answer:
                return answer.status, json.load(answer)["reason"]
        except HTTPError as error:
            with error:
                return error.code, json.load(error)["reason"]

    def workers(self) -> list[int]:
        return sorted(children(self.service))

    def await_the_next(self, victim: int) -> None:
        """A worker has gone, and there is another in its place."""
        eventually(lambda: victim not in self.workers() and len(self.workers()) == 2)

    def decoders(self) -> list[int]:
        """The cells, and what they are forked from."""
        every = tree_of(self.service.process.pid)
        return [pid for pid in every if b"app.cell.process" in _command(pid)]

    def settle(self) -> None:
        """Both workers are there and ready, a new series is stored, and all that were stored are judged."""
        eventually(lambda: len(self.workers()) == 2 and self.health() == (200, "model ready"))
        eventually(lambda: self.sender.send() == 200)
        self.sender.await_results()


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("faults")
    key, line = new_key("ward", "predict,dicomweb:read,dicomweb:write,studies")
    (folder / "keys").write_text(line)
    (folder / "keys").chmod(0o600)
    shutil.copytree(MODELS, folder / "models")
    with ExitStack() as disks:
        for name, megabytes in (("state", STATE_MB), ("audit", AUDIT_MB), ("temporary", TEMPORARY_MB)):
            disks.enter_context(small_disk(folder / name, megabytes))
        environment = {
            "LUNGSCOPE_SPOOL_DIR": str(folder / "state"),
            "LUNGSCOPE_AUDIT_DIR": str(folder / "audit"),
            "LUNGSCOPE_KEYS_FILE": str(folder / "keys"),
            "LUNGSCOPE_SETTLE_SECONDS": "0",
            "LUNGSCOPE_QUIET_SECONDS": "0",
            "LUNGSCOPE_HUNG_SECONDS": "10",
            "LUNGSCOPE_DECODING": "cell",
            "TMPDIR": str(folder / "temporary"),
        }
        service = Service(folder / "models", workers=2, environment=environment)
        for _ in range(2):
            service.wait_until_ready()
        bearer = f"Bearer {key}"
        yield Running(service, folder, Callers(service, bearer), Sender(service, bearer), set())
        service.process.kill()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_worker_that_is_killed_or_stopped_costs_what_was_in_flight(running: Running, how: signal.Signals) -> None:
    victim = min(running.workers())
    with running.callers.calling():
        assert running.sender.send() == 200
        os.kill(victim, how)
        running.await_the_next(victim)
    got = running.callers.take()
    # Each caller has one request at a time; a second may have been sent to the worker's socket before it closed.
    assert got.keys() <= {200, LOST}
    assert got[LOST] <= 2 * CALLERS
    running.settle()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_decoders_that_are_killed_or_stopped_cost_nothing_but_time(running: Running, how: signal.Signals) -> None:
    workers = running.workers()
    with running.callers.calling():
        victims = running.decoders()
        assert victims
        for pid in victims:
            with suppress(ProcessLookupError):  # it ended with what it was forked from
                os.kill(pid, how)
        running.callers.wait_for_answers()
        assert running.sender.send() == 200
    got = running.callers.take()
    assert got.keys() <= {200, 422, 503}
    assert got[422] + got[503] <= 2 * CALLERS
    assert running.workers() == workers
    running.settle()


def test_a_full_disk_of_the_trail_stops_what_must_be_on_record(running: Running) -> None:
    assert running.sender.send() == 200
    filler = fill(running.folder / "audit")
    with running.callers.calling(answered=507):
        # Each worker looks for itself: the next to be asked may not have seen it yet.
        eventually(lambda: "audit cannot be written" in running.health()[1])
        assert running.sender.send() == 507
    filler.unlink()
    with running.callers.calling():
        pass
    running.callers.take()
    running.settle()


def test_a_full_disk_of_spool_and_results_stops_storing_alone(running: Running) -> None:
    with running.callers.calling():
        assert running.sender.send() == 200
        filler = fill(running.folder / "state")
        eventually(lambda: "spool and results cannot be written" in running.health()[1])
        assert running.sender.send() == 507
        running.callers.wait_for_answers()
        filler.unlink()
    assert running.callers.take().keys() == {200}
    running.settle()


def test_a_full_folder_of_temporary_files_stops_nothing(running: Running) -> None:
    filler = fill(running.folder / "temporary")
    with running.callers.calling():
        assert running.sender.send() == 200
        running.sender.await_results()
        assert running.health()[0] == 200
    assert running.callers.take().keys() == {200}
    filler.unlink()
    running.settle()


def test_a_clock_that_was_set_leaves_what_was_stored_to_be_judged(running: Running) -> None:
    """Times on the disk are moved instead of the machine's clock: what is there looks years old, or not yet born."""
    for seconds in (-3e8, 3e8):
        assert running.sender.send() == 200
        for series in (running.folder / "state" / "spool" / "series").iterdir():
            seen = series.stat().st_mtime + seconds
            os.utime(series, (seen, seen))
        running.sender.await_results()
    running.settle()


def _spoil(path: Path) -> None:
    """Write over the middle third of a file."""
    content = bytearray(path.read_bytes())
    third = max(1, len(content) // 3)
    content[third : 2 * third] = os.urandom(third)
    with path.open("r+b") as file:
        file.write(content)


def test_a_damaged_database_of_results_costs_what_it_held_and_is_kept(running: Running) -> None:
    running.sender.await_results()
    held, running.sender.stored = running.sender.stored, []
    assert held
    with running.callers.calling():
        path = running.folder / "state" / "results.sqlite3"
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        path.write_bytes(os.urandom(path.stat().st_size))
        eventually(lambda: list(path.parent.glob("results.sqlite3.damaged-*")))
        running.settle()
    assert running.callers.take().keys() == {200}


def test_damaged_files_of_the_spool_cost_their_series_alone(running: Running) -> None:
    spool = running.folder / "state" / "spool"
    (spool / "series" / "no series").write_bytes(b"of somebody else")
    (spool / "judging" / "0").mkdir()
    (spool / "judging" / "0" / ".lock").write_bytes(os.urandom(9))
    (spool / ".salt").write_bytes(b"short")
    with running.callers.calling():
        running.settle()
        os.kill(min(running.workers()), signal.SIGKILL)  # the next one reads the salt
    assert running.callers.take().keys() <= {200, LOST}
    running.settle()


def test_damaged_keys_change_nothing_until_they_are_whole_again(running: Running) -> None:
    path = running.folder / "keys"
    whole = path.read_bytes()
    with running.callers.calling():
        path.write_bytes(os.urandom(len(whole)))
        try:
            running.callers.wait_for_answers()
        finally:  # or every test after this one would fail
            path.write_bytes(whole)
    assert running.callers.take().keys() == {200}
    running.settle()


def test_a_damaged_bundle_stops_only_those_who_would_load_it(running: Running) -> None:
    path = running.folder / "models" / "nodule-classifier" / "1" / "saved_model.pb"
    whole, victim = path.read_bytes(), min(running.workers())
    _spoil(path)
    with running.callers.calling():
        os.kill(victim, signal.SIGKILL)
        try:
            eventually(lambda: victim not in running.workers())
            running.callers.wait_for_answers()
        finally:
            path.write_bytes(whole)
    assert running.callers.take().keys() <= {200, LOST}
    running.settle()


def test_a_damaged_trail_is_gone_on_with_and_the_damage_found(running: Running) -> None:
    for path in (running.folder / "audit").glob("chain-*/*.jsonl"):
        _spoil(path)
        running.damaged_chains.add(path.parent.name)
    victim = min(running.workers())
    with running.callers.calling():
        os.kill(victim, signal.SIGKILL)
        running.await_the_next(victim)
    assert running.callers.take().keys() <= {200, LOST}
    running.callers.answered.clear()  # the lines of some were in what is damaged
    with running.callers.calling():
        pass
    running.settle()


def test_the_end_finds_every_answer_on_record_and_no_loop_in_the_log(running: Running) -> None:
    running.service.process.terminate()
    log = running.service.rest_of_log()
    assert running.service.process.returncode == 0
    reports = verify(running.folder / "audit")
    assert {report.chain for report in reports if report.faults} <= running.damaged_chains
    files = (running.folder / "audit").glob("chain-*/*.jsonl")
    recorded = {line.get("request_id") for path in files for line in _lines(path)}
    assert running.callers.answered <= recorded
    assert "Traceback" not in log
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    troubles = [line["message"] for line in lines if line["level"] in ("WARNING", "ERROR")]
    said = Counter(re.sub(r"[0-9a-f-]*\d[0-9a-f-]*", "", message) for message in troubles)
    assert {message: count for message, count in said.items() if count > MAX_LINES} == {}


def _lines(path: Path) -> Iterator[dict[str, object]]:
    """What can still be read of a file."""
    for line in path.read_bytes().splitlines():
        with suppress(ValueError):
            yield json.loads(line)
