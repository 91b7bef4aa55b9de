"""Files and folders as users have them: what can be judged is, and what cannot is named."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from app import cli
from app.imaging.dicom import DicomImage
from app.inference import registry
from benchmarks.serving.service import MODELS
from phantoms.series import SLICES, slice_file, zipped
from tests.api.conftest import png
from tests.fakes import ArithmeticModels, write_models
from tests.imaging.series_files import enhanced_file
from tests.inference.slices import chest

STATED = ["--pixel-spacing-mm", "1.4", "--window", "1024,4096"]
FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="only Linux has a device without room")


@pytest.fixture(autouse=True)
def arithmetic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_models(tmp_path / "models")
    monkeypatch.setenv("LUNGSCOPE_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.setattr(registry, "create_backend", lambda _name, _threads: ArithmeticModels())


@pytest.fixture(scope="module")
def slices() -> list[bytes]:
    return [slice_file(n) for n in range(SLICES)]


@pytest.fixture
def study(tmp_path: Path, slices: list[bytes]) -> Path:
    study = tmp_path / "study"
    study.mkdir()
    for n, data in enumerate(slices):
        (study / f"{n:02d}.dcm").write_bytes(data)
    return study


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "a.png"
    path.write_bytes(png(chest({(75, 125): (20, 400)}).hu))
    return path


def answers(arguments: Sequence[str | Path], code: int, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """What is written of each path, by the path's last part; with `code` as exit code."""
    assert cli.main(["predict", "--json", *map(str, arguments)]) == code
    return {Path(line["path"]).name: line for line in map(json.loads, capsys.readouterr().out.splitlines())}


def codes(arguments: Sequence[str | Path], capsys: pytest.CaptureFixture[str]) -> dict[str, str | None]:
    """The error's code of each path, some of which fail; None for what was judged."""
    written = answers(arguments, cli.SOME_FAILED, capsys)
    return {name: line["error"]["code"] if "error" in line else None for name, line in written.items()}


def test_warnings_are_named_in_text_and_table(picture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["predict", str(picture)]) == cli.OK
    line = capsys.readouterr().out
    assert "; warnings: " in line
    assert "spacing_assumed" in line
    assert "window_assumed" in line
    assert cli.main(["predict", str(picture), "--csv", "-"]) == cli.OK
    (row,) = csv.DictReader(capsys.readouterr().out.splitlines())
    assert {"spacing_assumed", "window_assumed"} <= set(row["warnings"].split(";"))


def test_linked_folders_are_looked_through_once(
    tmp_path: Path, study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "links"
    folder.mkdir()
    (folder / "study").symlink_to(study)
    (folder / "again").symlink_to(study)
    (study / "round").symlink_to(folder)
    (study / "itself").symlink_to(study)
    (study / "first.dcm").symlink_to(study / "00.dcm")
    ((answer,),) = (answers([folder], cli.OK, capsys).values(),)
    assert answer["source"]["series"]["slices"] == SLICES


def test_what_cannot_be_read_is_named_and_the_rest_is_judged(
    study: Path, slices: list[bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    (study / "dangling.dcm").symlink_to(study / "nowhere")
    (study / "endless.dcm").symlink_to("endless.dcm")
    os.mkfifo(study / "pipe.dcm")
    (study / "cut.dcm").write_bytes(slices[0][:300])
    assert codes([study, study / "absent.dcm", study.parent / ("x" * 300), "/dev/zero"], capsys) == {
        "study": None,
        "dangling.dcm": "unreadable_file",
        "endless.dcm": "unreadable_file",
        "pipe.dcm": "unreadable_file",
        "cut.dcm": "malformed_dicom",
        "absent.dcm": "unreadable_file",
        "x" * 300: "unreadable_file",
        "zero": "unreadable_file",
    }


def test_a_folder_that_may_not_be_read_is_named(
    study: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (study / "private").mkdir()
    scandir = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith("private"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert codes([study], capsys) == {"study": None, "private": "unreadable_file"}


def test_empty_folders_are_named(tmp_path: Path, picture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty" / "below").mkdir(parents=True)
    (tmp_path / "empty" / ".hidden").write_bytes(b"?")
    assert cli.main(["predict", str(tmp_path / "empty")]) == cli.SOME_FAILED
    said = capsys.readouterr().err
    assert "empty: unreadable_file: holds no files" in said
    assert "1 of 1 file(s) or series could not be judged" in said
    assert codes([tmp_path / "empty", picture], capsys) == {"empty": "unreadable_file", "a.png": None}


@pytest.mark.parametrize("options", [["--roi", "148,240"], ["--frame", "1"], ["--slices"]])
def test_an_archive_with_options_of_a_slice_is_told_so(
    tmp_path: Path, slices: list[bytes], options: Sequence[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "series.zip").write_bytes(zipped(slices))
    assert cli.main(["predict", str(tmp_path / "series.zip"), *options]) == cli.SOME_FAILED
    said = capsys.readouterr().err
    assert "series.zip: invalid_parameter: Found an archive with an option that is for single slices" in said
    assert "--roi or --frame" in said


@pytest.mark.parametrize("options", [["--roi", "148,240"], ["--frame", "1"]])
def test_a_folder_of_a_series_with_options_of_a_slice_is_told_so(
    study: Path, options: Sequence[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (study / "report.txt").write_text("no image")
    assert codes([study, *options], capsys) == {"study": "invalid_parameter"}


def test_options_of_a_slice_with_files_alone(
    tmp_path: Path, slices: list[bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "enhanced.dcm").write_bytes(enhanced_file([0.0, 1.0, 2.0]))
    (folder / "one.dcm").write_bytes(slices[8])
    written = answers([folder, "--frame", "1"], cli.OK, capsys)
    assert {name: line["source"]["kind"] for name, line in written.items()} == {
        "enhanced.dcm": "dicom",
        "one.dcm": "dicom",
    }


def test_the_file_that_spoils_a_series_is_named(
    study: Path, slices: list[bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    (study / "07.dcm").write_bytes(slices[7][:-1000])
    written = answers([study], cli.SOME_FAILED, capsys)
    assert "bytes of pixel data in 07.dcm; expected" in written["study"]["error"]["detail"]


@pytest.mark.parametrize("broken", ["judge", "look"])
def test_an_error_nobody_foresaw_ends_nothing_and_shows_nothing(
    tmp_path: Path, picture: Path, broken: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "one.dcm").write_bytes(slice_file(8))

    def fail(*_: object) -> Any:
        raise RuntimeError("Doe^Jane")

    if broken == "judge":
        judge = ArithmeticModels.judge
        calls: Iterator[Any] = iter([judge, fail])  # the golden case, then the first file

        def judge_or_fail(model: ArithmeticModels, hu: NDArray[np.float32]) -> object:
            return next(calls, judge)(model, hu)

        monkeypatch.setattr(ArithmeticModels, "judge", judge_or_fail)
    else:
        monkeypatch.setattr(DicomImage, "parse", fail)
    arguments = [str(tmp_path / "one.dcm"), str(picture), *STATED, "--roi", "75,125"]
    assert cli.main(["predict", *arguments]) == cli.SOME_FAILED
    shown = capsys.readouterr()
    assert "one.dcm: internal_error: RuntimeError at test_inputs.py" in shown.err
    assert "1 of 2 file(s) or series could not be judged" in shown.err
    assert "a.png: " in shown.out
    assert "Doe" not in shown.out + shown.err


def test_names_that_are_no_text_are_shown_by_escapes(
    tmp_path: Path, picture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    odd = Path(os.fsdecode(bytes(folder) + b"/\xff\x1b[31m\n.png"))
    odd.write_bytes(picture.read_bytes())
    assert cli.main(["predict", str(folder), *STATED]) == cli.OK
    shown = capsys.readouterr()
    assert "\\udcff\\x1b[31m\\n.png: " in shown.out
    assert "\x1b[31m" not in shown.out + shown.err
    assert cli.main(["predict", str(folder), "--csv", str(tmp_path / "table.csv")]) == cli.OK
    assert "\\udcff" in (tmp_path / "table.csv").read_text("utf-8")
    command = "import json; from app.cli.results import Output, Outcome; from pathlib import Path; import sys\n"
    command += "Output(None, as_json=True).write(Outcome(Path(sys.argv[1])))"
    written = subprocess.run([sys.executable, "-c", command, odd], capture_output=True, check=True).stdout
    assert json.loads(written.decode("utf-8"))["path"] == str(odd)


@pytest.mark.parametrize("where", ["absent/table.csv", "", "a.png/table.csv", "x" * 300])
def test_a_table_that_cannot_be_written_is_told_before_anything_is_judged(
    tmp_path: Path, picture: Path, where: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ArithmeticModels, "judge", None)
    assert cli.main(["predict", str(picture), "--csv", str(tmp_path / where)]) == cli.CANNOT_START
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"lungscope: Found no way to write {tmp_path}")


@needs_full
def test_a_full_disk_is_told_before_anything_is_judged(picture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["predict", str(picture), "--csv", str(FULL)]) == cli.CANNOT_START
    (line,) = capsys.readouterr().err.splitlines()
    assert "No space left on device" in line


@needs_full
def test_a_full_disk_later_ends_with_what_was_written(picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUNGSCOPE_MODELS_DIR", str(MODELS))
    command = "import sys; from app.cli import main; sys.exit(main())"
    arguments = [sys.executable, "-c", command, "predict", str(picture), str(picture)]
    with FULL.open("w") as full:
        ended = subprocess.run(arguments, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert ended.returncode == cli.SOME_FAILED
    assert "standard output cannot be written any more (No space left on device)" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "Exception" not in ended.stderr


@pytest.mark.parametrize("closed", ["1", "2"])
def test_a_closed_stream_is_no_error(closed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUNGSCOPE_MODELS_DIR", str(MODELS))
    program = "import sys; from app.cli import main; sys.exit(main())"
    command = ["sh", "-c", f'exec {closed}>&-; exec "$0" -c "$1" models', sys.executable, program]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (cli.OK, "")


def test_what_is_judged_is_not_written_over(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = study / "00.dcm"
    before = first.read_bytes()
    for paths in ([first], [study]):
        assert cli.main(["predict", *map(str, paths), "--csv", str(first)]) == cli.CANNOT_START
        assert "one file to be judged and to be written" in capsys.readouterr().err
    assert first.read_bytes() == before


def test_a_table_beside_the_images_is_none_of_them(tmp_path: Path, picture: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    picture.rename(folder / "a.png")
    for _ in range(2):
        assert cli.main(["predict", str(folder), "--csv", str(folder / "table.csv"), *STATED]) == cli.OK
        assert len((folder / "table.csv").read_text().splitlines()) == 2
