"""`lungscope dimse`, killed, told to end, and sent a patient's data well and badly."""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest
import urllib3

from app import cli
from app.delivery.spool.spool import Spool, SpoolLimits
from benchmarks.serving.service import eventually, free_port
from tests.dimse.caller import PATIENCE_S, Caller, dataset_of, pdv, store_pdus
from tests.dimse.command import DimseCommand
from tests.dimse.conftest import SLICE, UID_0
from tests.server.test_canaries import CANARIES, INSTANCE, NAME, WORD, canary_slice

AT_REST: Final = ("state/spool/series", "state/results.sqlite3")
EVERY: Final = {"LUNGSCOPE_LOG_LEVEL": "debug", "LUNGSCOPE_DRAIN_SECONDS": "0"}


def waiting(folder: Path) -> list[Path]:
    """The instances that wait to be judged."""
    return [path for path in (folder / "spool" / "series").glob("*/*") if not path.name.startswith(".")]


def coming(folder: Path) -> list[Path]:
    """What is being received."""
    return [path for path in (folder / "spool" / "incoming").rglob(".part") if path.stat().st_size]


def test_killed_in_mid_transfer_it_loses_nothing_that_it_confirmed_and_leaves_nothing_half(tmp_path: Path) -> None:
    folder, log = tmp_path / "state", tmp_path / "log"
    command = DimseCommand(folder, log)
    with Caller(command.port) as caller:
        assert caller.store(SLICE, uid=UID_0) == 0
        other = dataset_of(canary_slice(1))
        for pdu in list(store_pdus(other, uid=f"{INSTANCE}.1"))[:-1]:
            caller.socket.sendall(pdu)
        eventually(lambda: coming(folder))
        command.process.kill()
        command.process.wait(PATIENCE_S)
    assert len(waiting(folder)) == 1
    again = DimseCommand(folder, log, **EVERY)
    Spool(folder / "spool", SpoolLimits(1 << 30, 24, 3, 30)).sweep(time.time())  # as the service does
    assert not list((folder / "spool" / "incoming").iterdir())
    with Caller(again.port) as caller:
        assert caller.store(other, uid=f"{INSTANCE}.1") == 0
        assert again.end() == 0  # whose association is open is not waited for
    assert len(waiting(folder)) == 2


def everything_sent(port: int) -> Iterator[int | None]:
    """What became of a patient's data in every place that a message has for text."""
    whole = dataset_of(canary_slice())
    uid = f"{INSTANCE}.8"
    damaged = (whole[:-900], whole[:400], NAME.encode(), (WORD * 90).encode(), dataset_of(canary_slice(Modality=WORD)))
    for data in (whole, *damaged):
        with Caller(port) as caller:
            yield caller.store(data, uid=uid)
    for calling, called in ((NAME[:16], "LUNGSCOPE"), ("CT01", WORD)):
        with Caller(port, calling, called) as caller:
            yield None
    for given in (
        {"uid": NAME},
        {"uid": uid, "sop_class": f"1.2.{INSTANCE[-30:]}"},
        {"uid": uid, "sop_class": "1.2.3"},
    ):
        with Caller(port) as caller, suppress(ConnectionError):
            yield caller.store(whole, **given)
    for sent in (pdv(3, NAME.encode()), pdv(1, NAME.encode()), NAME.encode(), b"\x01\0\0\0\0\x20" + NAME.encode() * 2):
        with Caller(port) as caller, suppress(ConnectionError):
            caller.socket.sendall(sent)
            yield None
    with Caller(port) as caller:
        for pdu in list(store_pdus(whole, uid=uid))[:-1]:
            caller.socket.sendall(pdu)


@pytest.mark.filterwarnings("ignore:Invalid value for VR:UserWarning")
def test_a_patient_is_found_only_in_spool_and_results(tmp_path: Path) -> None:
    metrics, folder = free_port(), tmp_path / "state"
    environment = {**EVERY, "LUNGSCOPE_AUDIT_DIR": str(tmp_path / "audit"), "TMPDIR": str(tmp_path / "tmp")}
    (tmp_path / "tmp").mkdir()
    command = DimseCommand(folder, tmp_path / "log", "--metrics-port", str(metrics), **environment)
    statuses = list(everything_sent(command.port))
    assert statuses[0] == 0
    assert set(statuses[1:5]) <= {0xC000, 0xA900}
    assert statuses[5] == 0xB006
    told = eventually(lambda: metrics_when_broken_off(metrics))
    assert command.end() == 0
    assert all(line.startswith("{") for line in command.log.splitlines()), command.log
    for canary in CANARIES:
        assert canary not in told
        assert canary not in command.log
    for path in (path for path in tmp_path.rglob("*") if path.is_file()):
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077 or path.name == "log"
        if not str(path.relative_to(tmp_path)).startswith(AT_REST):
            content = path.read_bytes()
            assert not [canary for canary in CANARIES if canary.encode() in content], path
        assert not [canary for canary in CANARIES if canary in path.name]


def metrics_when_broken_off(port: int) -> str:
    """What Prometheus sees, once an instance was broken off; nothing before."""
    text = urllib3.request("GET", f"http://127.0.0.1:{port}/metrics").data.decode()
    return text if re.search(r'instances_total\{outcome="broken_off"\} [1-9]', text) else ""


@pytest.mark.parametrize(
    ("given", "named"),
    [({"DIMSE_CALLERS": "CT01"}, "LUNGSCOPE_SPOOL_DIR"), ({"SPOOL_DIR": os.devnull}, "LUNGSCOPE_DIMSE_CALLERS")],
)
def test_it_says_what_it_needs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], given: dict[str, str], named: str
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(f"LUNGSCOPE_{name}", value)
    assert cli.main(["dimse"]) == cli.CANNOT_START
    assert named in capsys.readouterr().err


@pytest.mark.parametrize("title", ["", "A TITLE THAT IS TOO LONG", "a\\b", " CT01"])
def test_a_title_that_is_none_is_refused(capsys: pytest.CaptureFixture[str], title: str) -> None:
    assert cli.main(["dimse", "--aet", title]) == cli.CANNOT_START
    assert "AE title" in capsys.readouterr().err
