"""The command line, in process, on the arithmetic model."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path

import pytest

from app import cli
from app.imaging.chunked import piece_of
from app.inference.bundle import load_bundle
from app.inference.lineage import Lineage, Parent
from phantoms.series import SLICES, slice_file, zipped
from phantoms.slices import derived_uid
from tests.api.conftest import png
from tests.fakes import ArithmeticModels
from tests.imaging.series_files import enhanced_file, taken_files
from tests.inference.slices import chest
from tests.keys import write_key
from tests.text.arithmetic import write_tagger

BUNDLES = ("nodule-classifier", "nodule-detector", "nodule-suspicion", "chest-view")
STATED = ["--pixel-spacing-mm", "1.4", "--window", "1024,4096"]


pytestmark = pytest.mark.usefixtures("arithmetic")


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
    assert "2 of 4 file(s) or series could not be judged" in capsys.readouterr().err


def test_failures_are_lines_of_json_and_text_too(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = folder / "b.txt"
    bad.write_text("no image")
    assert cli.main(["predict", str(bad), "--json"]) == cli.SOME_FAILED
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "unsupported_media_type"
    assert cli.main(["predict", str(bad)]) == cli.SOME_FAILED
    shown = capsys.readouterr()
    assert (shown.out, "b.txt: unsupported_media_type: Found" in shown.err) == ("", True)


@pytest.fixture(scope="module")
def slices() -> list[bytes]:
    return [slice_file(n) for n in range(SLICES)]


@pytest.fixture
def study(tmp_path: Path, slices: list[bytes]) -> Path:
    """A series, a scout view and a report."""
    study = tmp_path / "study"
    (study / "scout").mkdir(parents=True)
    for n, data in enumerate(slices):
        (study / f"{n * 7 % SLICES:02d}.dcm").write_bytes(data)
    scout = slice_file(50, SeriesInstanceUID=derived_uid("scout"), ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    (study / "scout" / "scout.dcm").write_bytes(scout)
    (study / "report.txt").write_text("no image")
    return study


def test_folder_with_a_series_is_judged_as_one(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["predict", str(study), "--json"]) == cli.OK
    shown = capsys.readouterr()
    (answer,) = map(json.loads, shown.out.splitlines())
    assert answer["path"] == str(study)
    assert answer["source"]["series"]["slices"] == SLICES
    assert answer["findings"][0]["slice"]["index"] in range(6, 11)
    assert f"2 file(s) under {study} belong to no series" in shown.err
    assert "judge" in shown.err


def test_each_series_of_a_tree_is_judged(study: Path, slices: list[bytes], capsys: pytest.CaptureFixture[str]) -> None:
    other = study / "other"
    other.mkdir()
    for n in range(3):
        data = slice_file(n, SeriesInstanceUID=derived_uid("other"))
        (other / f"{n}.dcm").write_bytes(data)
    (study / "packed.zip").write_bytes(zipped(slices))
    table = study.parent / "table.csv"
    assert cli.main(["predict", str(study), "--csv", str(table)]) == cli.OK
    with table.open(encoding="utf-8") as stream:
        rows = {Path(row["path"]).name: row for row in csv.DictReader(stream)}
    assert {name: int(row["slices"]) for name, row in rows.items()} == {
        "study": SLICES,
        "other": 3,
        "packed.zip": SLICES,
    }
    assert rows["other"]["series_instance_uid"] == derived_uid("other")
    assert rows["packed.zip"]["probability"] == rows["study"]["probability"]
    assert "3/3" in capsys.readouterr().err


def test_a_large_multi_frame_file_shrinks_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.imaging.decoder.LARGE_BYTES", 1000)
    files = taken_files(monkeypatch)
    (tmp_path / "enhanced.dcm").write_bytes(enhanced_file([0.0, 1.0, 2.0]))
    assert cli.main(["predict", str(tmp_path / "enhanced.dcm")]) == cli.OK
    (file,) = files
    with pytest.raises(OSError, match="released"):
        piece_of(file, 0, 1)


def test_slices_of_a_series_are_judged_alone_when_asked(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["predict", str(study), "--slices", "--json"]) == cli.SOME_FAILED
    lines = list(map(json.loads, capsys.readouterr().out.splitlines()))
    assert len(lines) == SLICES + 2
    assert sorted(line["error"]["code"] for line in lines if "error" in line) == ["localizer", "unsupported_media_type"]


def test_broken_series_is_reported(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (study / "07.dcm").unlink()
    assert cli.main(["predict", str(study)]) == cli.SOME_FAILED
    assert f"{study}: missing_slices" in capsys.readouterr().err


def test_ctrl_c_ends_at_once(study: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt(_self: object, _hu: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ArithmeticModels, "judge", interrupt)
    assert cli.main(["predict", str(study)]) == cli.INTERRUPTED
    assert "stopped" in capsys.readouterr().err


def test_operating_point_of_the_site(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LUNGSCOPE_OPERATING_POINT", "0.8")
    assert cli.main(["predict", str(folder / "a.png"), "--roi", "75,125", "--json", *STATED]) == cli.OK
    answer = json.loads(capsys.readouterr().out)
    assert (answer["operating_point"], answer["decision"]) == (0.8, "indeterminate")
    assert answer["prediction_set"] == ["cancer_suspected"]
    assert cli.main(["models"]) == cli.OK
    assert "operating point in force 0.800" in capsys.readouterr().out


def test_models_describes_what_it_verified(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["models"]) == cli.OK
    shown = capsys.readouterr().out
    assert "nodule-classifier/1  sha256:" in shown
    assert "auc" in shown
    assert "nodule-detector/1  sha256:" in shown
    assert "nodule-suspicion/1  sha256:" in shown
    assert "in force" not in shown


def test_models_tells_where_a_bundle_comes_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["models"]) == cli.OK
    assert capsys.readouterr().out.count("lineage: not recorded") == 4
    folder = tmp_path / "models" / "nodule-classifier"
    shutil.copytree(folder / "1", folder / "2")
    parent = Parent(name="nodule-classifier", version=1, digest="sha256:0", change="recalibrated", data={"table": "t"})
    lineage = Lineage(
        recipe="default", run="sha256:r", evaluation="sha256:e", data={"table": "sha256:d"}, parent=parent
    )
    made = load_bundle(folder / "2").manifest.model_copy(update={"version": 2, "lineage": lineage})
    (folder / "2" / "manifest.json").write_text(made.model_dump_json(), "utf-8")
    assert cli.main(["models"]) == cli.OK
    shown = capsys.readouterr().out
    assert "nodule-classifier/2  sha256:" in shown
    assert "not served, in the same folder: version 1" in shown
    assert "lineage: made from nodule-classifier/1 sha256:0: recalibrated (table t)" in shown
    assert "lineage: weights by run sha256:r of recipe default on table sha256:d" in shown
    assert "lineage: figures and calibration by evaluation sha256:e" in shown


def test_an_earlier_version_may_be_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "models" / "nodule-classifier"
    shutil.copytree(folder / "1", folder / "2")
    monkeypatch.setenv("LUNGSCOPE_MODEL", "nodule-classifier/1")
    assert cli.main(["models"]) == cli.OK
    assert str(folder / "1") in capsys.readouterr().out
    monkeypatch.setenv("LUNGSCOPE_MODEL", "nodule-classifier/3")
    assert cli.main(["models"]) == cli.CANNOT_START
    assert "those that are there: 1, 2" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["models"], ["serve"], ["predict", "x.dcm"]])
def test_a_trusted_key_stops_every_command_until_all_bundles_are_signed(
    tmp_path: Path, command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    private, public = write_key(tmp_path, "own")
    bundles = [tmp_path / "models" / name / "1" for name in BUNDLES]
    monkeypatch.setenv("LUNGSCOPE_TRUSTED_KEY", str(public))
    for bundle in bundles:
        assert cli.main(command) == cli.CANNOT_START
        assert f"{bundle}: no signature" in capsys.readouterr().err
        assert cli.main(["sign", str(bundle), "--key", str(private)]) == cli.OK
    assert cli.main(["models"]) == cli.OK


@pytest.mark.parametrize("command", [["models"], ["serve"]])
def test_a_trusted_key_is_asked_of_the_tagger_too(
    tmp_path: Path, command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    private, public = write_key(tmp_path, "own")
    tagger = write_tagger(tmp_path / "models")
    others = [str(tmp_path / "models" / name / "1") for name in BUNDLES]
    assert cli.main(["sign", *others, "--key", str(private)]) == cli.OK
    monkeypatch.setenv("LUNGSCOPE_TRUSTED_KEY", str(public))
    assert cli.main(command) == cli.CANNOT_START
    assert f"{tagger}: no signature" in capsys.readouterr().err
    assert cli.main(["sign", str(tagger), "--key", str(private)]) == cli.OK
    assert cli.main(["models"]) == cli.OK
    assert str(tagger) in capsys.readouterr().out


def test_a_bundle_that_is_damaged_is_not_signed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    private, _ = write_key(tmp_path, "own")
    bundle = tmp_path / "models" / "nodule-classifier" / "1"
    (bundle / "saved_model.pb").write_bytes(b"flipped")
    assert cli.main(["sign", str(bundle), "--key", str(private)]) == cli.CANNOT_START
    assert "saved_model.pb" in capsys.readouterr().err
    assert not (bundle / "manifest.json.sig").exists()


@pytest.mark.parametrize("model", ["nodule-classifier", "nodule-detector", "nodule-suspicion"])
@pytest.mark.parametrize("command", [["models"], ["serve"], ["predict", "x.dcm"]])
def test_flipped_byte_stops_every_command(
    tmp_path: Path, command: list[str], model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "models" / model / "1" / "saved_model.pb").write_bytes(b"flipped")
    assert cli.main(command) == cli.CANNOT_START
    assert f"{model}/1/saved_model.pb" in capsys.readouterr().err


@pytest.mark.parametrize("model", ["nodule-detector", "nodule-suspicion"])
@pytest.mark.parametrize("command", [["models"], ["serve"], ["predict", "x.dcm"]])
def test_missing_model_of_the_search_stops_every_command(
    tmp_path: Path, command: list[str], model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(tmp_path / "models" / model)
    assert cli.main(command) == cli.CANNOT_START
    assert model in capsys.readouterr().err


def test_unsafe_setting_stops_every_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LUNGSCOPE_MAX_BODY_MB", "0")
    assert cli.main(["models"]) == cli.CANNOT_START
    assert "LUNGSCOPE_MAX_BODY_MB" in capsys.readouterr().err
