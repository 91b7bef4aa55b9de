"""The command line, in process, on the arithmetic model."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest

from app import cli
from tests.api.conftest import png
from tests.fakes import ArithmeticBackend, write_bundle
from tests.inference.slices import chest

STATED = ["--pixel-spacing-mm", "1.4", "--window", "1024,4096"]


@pytest.fixture(autouse=True)
def arithmetic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_bundle(tmp_path / "models")
    monkeypatch.setenv("LUNGSCOPE_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.setattr(cli, "create_backend", lambda _name, _threads: ArithmeticBackend())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two slices, one of them in a folder below, a hidden file and a text."""
    folder = tmp_path / "case"
    (folder / "more").mkdir(parents=True)
    (folder / "a.png").write_bytes(png(chest({(75, 125): (20, 400)}).hu))
    (folder / "more" / "b.png").write_bytes(png(chest(lungs=False).hu))
    (folder / ".hidden").write_bytes(b"?")
    return folder


def test_one_slice_with_roi_as_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["predict", str(folder / "a.png"), "--roi", "75,125", "--json", *STATED]) == cli.OK
    answer = json.loads(capsys.readouterr().out)
    assert answer["decision"] == "cancer_suspected"
    assert answer["probability"] == pytest.approx(0.7, abs=0.001)
    assert answer["path"].endswith("a.png")


def test_folder_shows_progress_and_reports_each_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["predict", str(folder), "--language", "zh", *STATED]) == cli.OK
    shown = capsys.readouterr()
    assert re.search(r"a\.png: .*\(probability 0\.\d+\); \d+ finding", shown.out)
    assert re.search(r"b\.png: 未判读; 0 finding\(s\), no_lung", shown.out)
    assert "2/2" in shown.err


def test_partial_failure_is_reported_and_the_rest_is_done(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "b.txt").write_text("no image")
    table = folder.parent / "table.csv"
    missing = folder / "missing.dcm"
    code = cli.main(["predict", str(folder), str(missing), "--csv", str(table), *STATED])
    assert code == cli.SOME_FAILED
    with table.open(encoding="utf-8") as stream:
        rows = {Path(row["path"]).name: row for row in csv.DictReader(stream)}
    assert rows["a.png"]["decision"] in ("cancer_suspected", "indeterminate")
    assert rows["b.png"]["reasons"] == "no_lung"
    assert rows["b.txt"]["error_code"] == "unsupported_media_type"
    assert rows["missing.dcm"]["error_code"] == "unreadable_file"
    assert "2 of 4 file(s) could not be judged" in capsys.readouterr().err


def test_failures_are_lines_of_json_and_text_too(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = folder / "b.txt"
    bad.write_text("no image")
    assert cli.main(["predict", str(bad), "--json"]) == cli.SOME_FAILED
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "unsupported_media_type"
    assert cli.main(["predict", str(bad)]) == cli.SOME_FAILED
    assert "unsupported_media_type" in capsys.readouterr().out


def test_empty_folder_is_not_a_success(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert cli.main(["predict", str(tmp_path / "empty")]) == cli.SOME_FAILED


def test_unusable_option_stops_before_loading(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["predict", str(folder), "--roi", "somewhere"]) == cli.CANNOT_START
    assert "roi" in capsys.readouterr().err


def test_models_describes_what_it_verified(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["models"]) == cli.OK
    shown = capsys.readouterr().out
    assert "nodule-classifier/1  sha256:" in shown
    assert "auc" in shown


@pytest.mark.parametrize("command", [["models"], ["serve"], ["predict", "x.dcm"]])
def test_flipped_byte_stops_every_command(
    tmp_path: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "models" / "nodule-classifier" / "1" / "saved_model.pb").write_bytes(b"flipped")
    assert cli.main(command) == cli.CANNOT_START
    assert "saved_model.pb" in capsys.readouterr().err


def test_unsafe_setting_stops_every_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LUNGSCOPE_MAX_BODY_MB", "0")
    assert cli.main(["models"]) == cli.CANNOT_START
    assert "LUNGSCOPE_MAX_BODY_MB" in capsys.readouterr().err
