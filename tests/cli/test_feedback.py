"""`lungscope feedback`: what an operator gives a registry, and a new reference for drift."""

from __future__ import annotations

import csv
import io
import json
import time
from hashlib import sha256
from pathlib import Path

import pytest

from app import __version__
from app.cli import CANNOT_START, OK, main
from app.watch.export import DAY_S
from app.watch.ledger import FEEDBACK, Ledger
from app.watch.noted import Noted
from tests.fakes import write_bundle


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    monkeypatch.setenv("LUNGSCOPE_FEEDBACK_DIR", str(tmp_path / "feedback"))
    monkeypatch.setenv("LUNGSCOPE_MODELS_DIR", str(tmp_path / "models"))
    (tmp_path / "feedback").mkdir(0o700)
    manifest = (write_bundle(tmp_path / "models") / "manifest.json").read_bytes()
    digest = f"sha256:{sha256(manifest).hexdigest()}"
    ledger = Ledger(tmp_path / "feedback" / FEEDBACK)
    judged = [
        Noted("finding", "a", (), digest, 0.75, True, "suspected"),
        Noted("scan", "b", (), "sha256:of another", None, None, "indeterminate"),
        Noted("finding", "c", (), digest, 0.2, False, "low"),
        Noted("finding", "d", (), digest, 0.3, False, "low"),
    ]
    ledger.note(judged, {(digest, "decision", 5, 0): 3}, day=5)
    ledger.hear("a", "reader", "malignant", day=6)
    ledger.hear("a", "pathology", "benign", day=7)
    ledger.hear("b", "reader", "malignant", day=7)
    ledger.hear("c", "reader", "malignant", day=7)
    return ledger


def test_an_export_has_a_row_for_each_verdict_that_counts(ledger: Ledger, capsys: pytest.CaptureFixture[str]) -> None:
    digest = ledger.cases()[0].digest
    assert main(["feedback", "export"]) == OK
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(row["case"], row["level"], row["agreement"]) for row in rows] == [
        ("a", "finding", "false_positive"),
        ("b", "scan", "not_called"),
        ("c", "finding", "false_negative"),
    ]
    assert rows[0] == {
        "case": "a",
        "level": "finding",
        "judged_on": "1970-01-06",
        "software": "Lungscope",
        "software_version": __version__,
        "model": "nodule-classifier",
        "model_version": "1",
        "model_digest": digest,
        "ai_probability": "0.75",
        "ai_decision": "suspected",
        "ai_result": "positive",
        "reference_result": "negative",
        "reference_detail": "benign",
        "reference_source": "pathology",
        "agreement": "false_positive",
    }


def test_json_lines_hold_the_same(ledger: Ledger, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["feedback", "export", "--format", "jsonl"]) == OK
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["reference_source"] for row in rows] == ["pathology", "reader", "reader"]
    assert (rows[1]["ai_probability"], rows[1]["model"], rows[1]["ai_result"]) == (None, None, "indeterminate")
    assert len(ledger.cases()) == len(rows)


def test_a_new_reference_forgets_what_was_counted_and_no_verdict(ledger: Ledger) -> None:
    digest = ledger.cases()[0].digest
    today = int(time.time() // DAY_S)
    ledger.note([], {(digest, "decision", today, 1): 2}, day=today)
    assert main(["feedback", "reference"]) == OK
    assert list(ledger.days(digest, "decision", since=0)) == [today]
    assert len(ledger.cases()) == 3


@pytest.mark.parametrize("made", [True, False])
def test_a_folder_of_nobody_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], *, made: bool) -> None:
    folder = tmp_path / "other"
    if made:
        folder.mkdir()
    assert main(["feedback", "export", "--folder", str(folder)]) == CANNOT_START
    assert "LUNGSCOPE_FEEDBACK_DIR" in capsys.readouterr().err
    assert not (folder / FEEDBACK).exists()
