"""What is done to a trail after it was written is found, and where."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.audit.anchors import Anchor, read_anchors
from app.audit.chain import ChainLimits, files_of
from app.audit.line import Line, write_line
from app.audit.verification import ChainReport, verify
from app.errors import MalformedInput
from app.signing import SigningKey, VerifyingKey
from tests.audit.conftest import NOON, Trail
from tests.keys import write_key

LINES = 8  # the one that opens the chain, and seven requests
Lines = list[bytes]


def checked(trail: Trail, *anchors: Anchor) -> ChainReport:
    (report,) = verify(trail.folder, anchors)
    return report


def places(report: ChainReport) -> list[int]:
    return [fault.line for fault in report.faults]


@pytest.fixture
def written(trail: Trail) -> Trail:
    trail.write(LINES - 1)
    return trail


def rewritten(raw: bytes, **members: object) -> bytes:
    """A line with other members and a hash that fits them, as a forger would write it."""
    line = Line.read(raw)
    fields = {name: value for name, value in line.members.items() if name not in ("seq", "time", "previous")}
    moment = members.pop("moment", line.moment())
    assert isinstance(moment, float)
    return write_line(line.seq, moment, line.previous, fields | members)[0]


def chained(lines: Lines) -> Lines:
    """The lines anew, each following the one before: what a forger does who has time."""
    previous, made = "0" * 64, []
    for raw in lines:
        line = Line.read(raw)
        fields = {name: value for name, value in line.members.items() if name not in ("seq", "time", "previous")}
        text, previous = write_line(line.seq, line.moment(), previous, fields)
        made.append(text)
    return made


def test_what_was_written_is_whole(written: Trail) -> None:
    report = checked(written)
    assert (report.faults, report.remarks, report.count, report.lines) == ([], [], LINES, LINES)
    (last,) = written.file().read_bytes().splitlines(keepends=True)[-1:]
    assert report.head == Line.read(last).hash


def changed(lines: Lines) -> Lines:
    lines[3] = lines[3].replace(b'"alice"', b'"malory"')
    return lines


def redated(lines: Lines) -> Lines:
    lines[3] = lines[3].replace(b'"time":"2', b'"time":"1')
    return lines


def cut(lines: Lines) -> Lines:
    return lines[:3] + lines[4:]


def swapped(lines: Lines) -> Lines:
    lines[3], lines[4] = lines[4], lines[3]
    return lines


def repeated(lines: Lines) -> Lines:
    return [*lines[:4], lines[3], *lines[4:]]


def replaced(lines: Lines) -> Lines:
    lines[3] = rewritten(lines[3], decision="cancer_suspected")
    return lines


def redated_with_its_hash(lines: Lines) -> Lines:
    lines[3] = rewritten(lines[3], moment=NOON + 500_000)
    return lines


def broken(lines: Lines) -> Lines:
    lines[3] = b"nothing that was ever written\n"
    return lines


def beheaded(lines: Lines) -> Lines:
    return lines[2:]


@pytest.mark.parametrize(
    ("tamper", "line", "says"),
    [
        (changed, 4, "changed after it was written"),
        (redated, 4, "changed after it was written"),
        (cut, 4, "line 4 of the chain should stand before it"),
        (swapped, 5, "line 4 of the chain stands here, behind line 5: reordered"),
        (repeated, 5, "stands here once more"),
        (replaced, 5, "follows another line 4"),
        (redated_with_its_hash, 5, "follows another line 4"),
        (broken, 4, "not a line of an audit trail"),
        (beheaded, 1, "the 2 lines before it are gone"),
    ],
)
def test_a_line_that_was_tampered_with_is_located(
    written: Trail, tamper: Callable[[Lines], Lines], line: int, says: str
) -> None:
    path = written.file()
    path.write_bytes(b"".join(tamper(path.read_bytes().splitlines(keepends=True))))
    report = checked(written)
    assert places(report)[:1] == [line], report.faults
    assert says in report.faults[0].what
    assert f"chain-0/{path.name}:{line}: " in str(report.faults[0])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(data=st.data())
def test_no_byte_of_a_line_can_be_changed_unnoticed(written: Trail, data: st.DataObject) -> None:
    path = written.file()
    whole = path.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda byte: byte != whole[at]))
    path.write_bytes(whole[:at] + bytes([other]) + whole[at + 1 :])
    report = checked(written)
    path.write_bytes(whole)
    # The newline at the very end is what tells a whole line from one that was cut short by a crash.
    assert report.faults or (at == len(whole) - 1 and report.remarks)
    assert not report.faults or report.faults[0].line - whole[:at].count(b"\n") in (1, 2)


def test_a_time_that_runs_backwards_without_a_note_is_told(written: Trail) -> None:
    path = written.file()
    lines = path.read_bytes().splitlines(keepends=True)
    lines[4] = rewritten(lines[4], moment=NOON - 86_400)
    path.write_bytes(b"".join(chained(lines)))
    report = checked(written)
    assert places(report) == [5]
    assert "before that of the line before, and no clock was set" in report.faults[0].what


def anchored(trail: Trail, key: SigningKey | None = None) -> Anchor:
    report = checked(trail)
    return Anchor.of(report.chain, report.count, report.head, NOON, key)


def test_an_end_that_was_cut_off_shows_against_an_anchor(written: Trail) -> None:
    anchor = anchored(written)
    path = written.file()
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:5]))
    assert not checked(written).faults
    report = checked(written, anchor)
    assert "it ends with line 5; at 2026" in report.faults[0].what
    assert "it had 8: its end was cut off" in report.faults[0].what


def test_a_trail_that_was_written_anew_shows_against_an_anchor(written: Trail) -> None:
    early = anchored(written)
    written.write(3)
    late = anchored(written)
    path = written.file()
    lines = path.read_bytes().splitlines(keepends=True)
    lines[9] = rewritten(lines[9], decision="cancer_suspected")
    path.write_bytes(b"".join(chained(lines)))
    assert not checked(written).faults
    report = checked(written, early, late)
    assert places(report) == [12]
    assert "written anew after line 8" in report.faults[0].what


def test_a_chain_that_is_gone_shows_against_an_anchor(written: Trail) -> None:
    anchor = anchored(written)
    written.file().unlink()
    (written.folder / "chain-0" / "lock").unlink()
    (written.folder / "chain-0").rmdir()
    (report,) = verify(written.folder, [anchor])
    assert "the chain is gone" in str(report.faults[0])


def test_anchors_are_read_back_and_only_their_key_has_signed_them(written: Trail, tmp_path: Path) -> None:
    private, public = write_key(tmp_path, "own")
    _, stranger = write_key(tmp_path, "stranger")
    anchor = anchored(written, SigningKey.read(private))
    (read,) = read_anchors([anchor.text(), ""])
    assert read == anchor
    assert anchor.is_signed_by(VerifyingKey.read(public))
    assert not anchor.is_signed_by(VerifyingKey.read(stranger))
    other = json.loads(anchor.text()) | {"count": 3}
    assert not next(read_anchors([json.dumps(other)])).is_signed_by(VerifyingKey.read(public))
    # As the service's log has them.
    (logged,) = read_anchors([json.dumps({"message": "audit anchor", "anchor": json.loads(anchor.text())})])
    assert logged == anchor
    for none in ("{}", "[]", "nothing", '{"chain": "chain-0", "count": "8", "head": "", "time": ""}'):
        with pytest.raises(MalformedInput, match="line 1 of the anchors"):
            list(read_anchors([none]))


def test_a_chain_of_several_files_is_one_chain(trail: Trail) -> None:
    trail.write(20, ChainLimits(file_bytes=1500))
    files = files_of(trail.folder / "chain-0")
    assert len(files) > 3
    assert not checked(trail).faults
    files[1].unlink()
    report = checked(trail)
    assert (report.faults[0].file, report.faults[0].line) == (files[2].name, 1)
    assert "should stand before it: cut out" in report.faults[0].what
