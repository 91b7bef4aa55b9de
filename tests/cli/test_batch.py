"""`lungscope batch`: what it says, and what it refuses."""

from __future__ import annotations

import threading
from multiprocessing import Pipe
from pathlib import Path

import pytest

from app import cli
from app.batch.index import Series
from app.batch.workers import READY, work
from app.cli import batch
from app.locks import held
from app.security.pseudonyms import load_key, pseudonym
from app.settings import Settings
from phantoms.archive import write_archive
from tests.batch import judges
from tests.batch.tables import rows_of

pytestmark = pytest.mark.usefixtures("arithmetic")


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    write_archive(tmp_path / "archive", 2)
    (tmp_path / "archive" / "torn.zip").write_bytes(b"PK\x03\x04")
    (tmp_path / "archive" / "notes.txt").write_text("no image")
    return tmp_path / "archive"


def test_it_counts_what_was_judged_and_what_failed(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(batch, "loaded_judge", judges.of_settings)
    out = tmp_path / "out"
    given = ["batch", str(archive), "--out", str(out), "--workers", "1"]
    for _ in range(2):  # the second time there is nothing to do
        assert cli.main(given) == cli.SOME_FAILED
        told = capsys.readouterr().err
        assert "2 series judged; 1 file(s) are no CT" in told
        assert "1 failed: malformed_archive" in told
    key = load_key(out / "state")
    rows = rows_of(out)
    assert {row["source"] for row in rows["failures"]} == {pseudonym(key, "source", str(archive / "torn.zip"))}
    assert cli.main([*given, "--identifiers", "plain"]) == cli.CANNOT_START
    assert "begun with another identifiers" in capsys.readouterr().err


def test_a_worker_judges_with_the_models_of_the_settings(archive: Path) -> None:
    ours, theirs = Pipe()
    worker = threading.Thread(target=work, args=(theirs, lambda: batch.loaded_judge(Settings.load())))
    worker.start()
    with ours:
        assert ours.recv() == READY
        ours.send(Series(7, None, tuple(sorted((archive / "0000" / "000000").iterdir()))))
        code, outcome = ours.recv()
    worker.join()
    assert code == ""
    assert (outcome["series"]["number"], outcome["series"]["slices"]) == (7, 8)


def test_two_batches_do_not_share_a_folder(archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out" / "state").mkdir(parents=True)
    with held(tmp_path / "out" / "state" / "lock"):
        assert cli.main(["batch", str(archive), "--out", str(tmp_path / "out")]) == cli.CANNOT_START
    assert "another batch at work" in capsys.readouterr().err


def test_what_it_lacks_is_said(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    assert cli.main(["batch", str(archive), "--out", str(tmp_path / "file")]) == cli.CANNOT_START
    assert "cannot be used" in capsys.readouterr().err
    assert cli.main(["batch", str(tmp_path / "absent"), "--out", str(tmp_path / "out")]) == cli.CANNOT_START
    assert "No such file" in capsys.readouterr().err
    monkeypatch.setattr(batch, "find_spec", lambda _name: None)
    assert cli.main(["batch", str(archive), "--out", str(tmp_path / "out")]) == cli.CANNOT_START
    assert "lungscope[batch]" in capsys.readouterr().err
