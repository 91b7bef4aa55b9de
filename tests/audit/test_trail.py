"""The trail of a process: what happens when it cannot be written, and what it does every second and every hour."""

from __future__ import annotations

import errno
import json
import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.audit.anchors import read_anchors
from app.audit.chain import Chain, ChainLimits, files_of
from app.audit.event import Event
from app.audit.trail import RETRY_S, AuditTrail, TrailOptions, WhenFull
from app.audit.verification import matching_lines, verify
from app.errors import AuditFull, AuditUnavailable, SettingsError
from app.security.pseudonyms import load_key, pseudonym
from app.signing import SigningKey, VerifyingKey
from tests.clock import Clock
from tests.keys import write_key


def lines(folder: Path) -> list[dict[str, object]]:
    paths = sorted(folder.glob("chain-*/*.jsonl"))
    return [json.loads(line) for path in paths for line in path.read_text("utf-8").splitlines()]


class Failing:
    """Makes every write of a chain fail while it is switched on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.error: OSError | None = None
        write = Chain._write

        def fail(chain: Chain, line: bytes) -> None:
            if self.error is not None:
                raise self.error
            write(chain, line)

        monkeypatch.setattr(Chain, "_write", fail)


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Failing:
    return Failing(monkeypatch)


@pytest.fixture
def told() -> list[tuple[bool, int]]:
    return []


@pytest.fixture(params=["refuse"])
def trail(
    request: pytest.FixtureRequest, tmp_path: Path, clock: Clock, told: list[tuple[bool, int]]
) -> Iterator[AuditTrail]:
    when_full: WhenFull = request.param
    folder = tmp_path / "audit"
    folder.mkdir(0o700)
    trail = AuditTrail(
        folder,
        b"k" * 32,
        TrailOptions(when_full=when_full),
        lambda writable, lost: told.append((writable, lost)),
        monotonic=clock,
    )
    yield trail
    trail.close()


def test_events_of_all_threads_are_one_chain(trail: AuditTrail) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: trail.record(Event("judge_slice", request_id=str(n))), range(200)))
    (report,) = verify(trail.folder)
    assert (report.faults, report.count) == ([], 201)


def test_a_full_disk_refuses_until_there_is_room(
    trail: AuditTrail, failing: Failing, clock: Clock, told: list[tuple[bool, int]]
) -> None:
    trail.record(Event("start"))
    trail.require()
    failing.error = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(AuditFull, match="audit trail that cannot be written: No space left"):
        trail.record(Event("judge_slice"))
    for _ in range(2):
        with pytest.raises(AuditFull):
            trail.require()
    assert trail.refuses
    assert trail.trouble == "No space left on device"
    failing.error = None
    clock.now += RETRY_S
    trail.tick()
    trail.require()
    trail.record(Event("judge_slice"))
    operations = [line["operation"] for line in lines(trail.folder)]
    assert operations == ["open_trail", "start", "gap_in_trail", "judge_slice"]
    (gap,) = (line["details"] for line in lines(trail.folder) if line["operation"] == "gap_in_trail")
    assert isinstance(gap, dict)
    assert (gap["events"], gap["why"]) == (1, "No space left on device")
    assert [writable for writable, _ in told][-1]
    assert sum(lost for _, lost in told) == 1


def test_another_fault_of_the_disk_is_told_apart(trail: AuditTrail, failing: Failing) -> None:
    failing.error = OSError(errno.EIO, "Input/output error")
    with pytest.raises(AuditUnavailable, match="Input/output error"):
        trail.record(Event("judge_slice"))


@pytest.mark.parametrize("trail", ["go-on"], indirect=True)
def test_a_site_that_goes_on_has_a_line_for_what_it_lacks(trail: AuditTrail, failing: Failing, clock: Clock) -> None:
    trail.record(Event("start"))
    failing.error = OSError(errno.ENOSPC, "No space left on device")
    for _ in range(5):
        trail.record(Event("judge_slice"))
    trail.require()
    assert (trail.refuses, trail.trouble) == (False, "No space left on device")
    failing.error = None
    clock.now += RETRY_S
    trail.record(Event("judge_slice"))
    assert trail.trouble is None
    gap = lines(trail.folder)[-2]
    assert gap["operation"] == "gap_in_trail"
    assert gap["details"] == {**gap["details"], "events": 5}  # type: ignore[dict-item]  # it is a dict


def test_refusals_are_one_line_a_second_for_all_of_a_kind(trail: AuditTrail) -> None:
    for _ in range(10_000):
        trail.refused("unknown", "/v1/predict", "not_authorised", "10.0.0.7")
    trail.refused("alice", "/v1/predict", "malformed_dicom")
    for number in range(3000):
        trail.refused(f"caller-{number}", "/v1/predict", "empty_body")
    trail.tick()
    written = lines(trail.folder)
    assert len(written) == 1 + 1000 + 1
    assert written[1].items() >= {"who": "unknown", "outcome": "not_authorised", "address": "10.0.0.7"}.items()
    assert written[1]["details"] == {"action": "/v1/predict", "count": 10_000}
    assert written[-1]["details"] == {"action": "", "count": 2002}


def test_studies_are_named_by_keyed_hashes_that_find_them(trail: AuditTrail) -> None:
    trail.record(Event("judge_slice", subject=trail.subject(study="1.2.3", accession="A-17", series=None)))
    trail.record(Event("judge_slice", subject=trail.subject(study=["1.2.4", "1.2.5"])))
    text = "".join(path.read_text("utf-8") for path in trail.folder.glob("chain-*/*.jsonl"))
    assert "1.2.3" not in text
    assert "A-17" not in text
    (found,) = matching_lines(trail.folder, [pseudonym(b"k" * 32, "accession", "A-17 ")])
    assert json.loads(found[1])["seq"] == 2
    (found,) = matching_lines(trail.folder, [pseudonym(b"k" * 32, "study", "1.2.5")])
    assert json.loads(found[1])["seq"] == 3
    assert not list(matching_lines(trail.folder, [pseudonym(b"l" * 32, "accession", "A-17")]))


def test_an_anchor_an_hour_goes_elsewhere_signed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    private, public = write_key(tmp_path, "own")
    folder, elsewhere = tmp_path / "audit", tmp_path / "elsewhere"
    options = TrailOptions(anchors=elsewhere, signing_key=SigningKey.read(private))
    trail = AuditTrail.at(folder, options)
    with caplog.at_level(logging.INFO):
        trail.record(Event("start"))
        trail.close()
    anchors = list(read_anchors((elsewhere / "anchors.jsonl").read_text("ascii").splitlines()))
    assert [anchor.count for anchor in anchors] == [2]
    assert all(anchor.is_signed_by(VerifyingKey.read(public)) for anchor in anchors)
    assert (elsewhere / "anchors.jsonl").stat().st_mode & 0o777 == 0o600
    (logged,) = (record.fields for record in caplog.records if record.message == "audit anchor")  # type: ignore[attr-defined]  # as the formatter takes it
    assert logged["anchor"]["count"] == 2
    assert not [fault for report in verify(folder, anchors) for fault in report.faults]


def test_the_key_of_the_names_stays(tmp_path: Path) -> None:
    for _ in range(2):
        AuditTrail.at(tmp_path / "audit").close()
    assert len(load_key(tmp_path / "audit")) == 32


def test_a_folder_that_cannot_be_used_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "audit").touch()
    with pytest.raises(SettingsError, match="LUNGSCOPE_AUDIT_DIR points"):
        AuditTrail.at(tmp_path / "audit")


def test_chains_that_nobody_writes_any_more_are_cleared_too(tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    options = TrailOptions(ChainLimits(keep_days=1))
    long_ago = 1_500_000_000.0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("time.time", lambda: long_ago)
        first = Chain.claim(_made(folder), wall=lambda: long_ago)
        second = Chain.claim(folder, wall=lambda: long_ago)
    second.append(Event("start"))
    first.close()
    second.close()
    trail = AuditTrail.at(folder, options)
    trail.record(Event("start"))
    trail.close()
    assert [len(files_of(folder / chain)) for chain in ("chain-0", "chain-1")] == [1, 1]
    reports = verify(folder)
    assert not any(report.faults for report in reports)
    assert all(report.remarks for report in reports)


def test_the_thread_writes_and_ends(tmp_path: Path) -> None:
    trail = AuditTrail.at(tmp_path / "audit")
    trail.start()
    trail.refused("alice", "/v1/predict", "empty_body")
    trail.close()
    assert [line["operation"] for line in lines(tmp_path / "audit")] == ["open_trail", "refuse"]
    assert not [thread for thread in threading.enumerate() if thread.name == "audit trail"]


def _made(folder: Path) -> Path:
    folder.mkdir(0o700)
    return folder
