"""`lungscope audit`: what it prints, and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app.audit.event import Event
from app.audit.trail import AuditTrail
from app.cli import CANNOT_START, OK, SOME_FAILED, main
from tests.keys import write_key


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A trail of three requests, two of them about one accession number."""
    folder = tmp_path / "audit"
    trail = AuditTrail.at(folder)
    for number, accession in enumerate(("A-17", "B-4", "A-17")):
        subject = trail.subject(accession=accession, study=f"1.2.{number}")
        trail.record(Event("judge_slice", "alice", request_id=f"request {number}", subject=subject))
    trail.close()
    monkeypatch.setenv("LUNGSCOPE_AUDIT_DIR", str(folder))
    return folder


@pytest.mark.usefixtures("folder")
def test_a_whole_trail_is_told_to_be_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "verify"]) == OK
    said = capsys.readouterr().out
    assert "chain-0: 4 lines, the last of 20" in said
    assert "4 lines in 1 chain(s), 0 fault(s); without anchors a cut end does not show" in said


def test_what_was_tampered_with_is_named_by_file_and_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (path,) = folder.glob("chain-0/*.jsonl")
    path.write_bytes(path.read_bytes().replace(b"request 1", b"request 7"))
    assert main(["audit", "verify"]) == SOME_FAILED
    assert f"chain-0/{path.name}:3: it was changed after it was written" in capsys.readouterr().out


def test_anchors_show_a_cut_end(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    private, public = write_key(tmp_path, "own")
    monkeypatch.setenv("LUNGSCOPE_SIGNING_KEY", str(private))
    assert main(["audit", "anchor"]) == OK
    anchors = tmp_path / "anchors.jsonl"
    anchors.write_text(capsys.readouterr().out)
    given = ["audit", "verify", "--anchors", str(anchors), "--key", str(public)]
    assert main(given) == OK
    assert "compared with 1 anchor(s)" in capsys.readouterr().out
    (path,) = folder.glob("chain-0/*.jsonl")
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:2]))
    assert main(given) == SOME_FAILED
    assert "its end was cut off" in capsys.readouterr().out
    _, stranger = write_key(tmp_path, "stranger")
    assert main([*given[:-1], str(stranger)]) == CANNOT_START
    assert "that this key has not signed" in capsys.readouterr().err


def test_lines_are_found_by_accession_number_study_and_request(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def found(*options: str) -> list[str]:
        code = main(["audit", "find", *options])
        lines = [json.loads(line)["request_id"] for line in capsys.readouterr().out.splitlines()]
        assert code == (OK if lines else SOME_FAILED)
        return lines

    assert found("--accession", "A-17") == ["request 0", "request 2"]
    assert found("--study", "1.2.1") == ["request 1"]
    assert found("--request-id", "request 2") == ["request 2"]
    assert found("--accession", "C-1") == []
    assert found("--folder", str(folder), "--series", "A-17") == []


def test_nothing_to_find_and_no_trail_are_said(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["audit", "find"]) == CANNOT_START
    assert "nothing to find" in capsys.readouterr().err
    monkeypatch.delenv("LUNGSCOPE_AUDIT_DIR")
    assert main(["audit", "verify"]) == CANNOT_START
    assert "no audit trail" in capsys.readouterr().err
    assert main(["audit", "verify", "--folder", str(folder / "none")]) == CANNOT_START
