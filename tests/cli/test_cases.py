"""`lungscope predict --out`: a table of findings, and pictures and reports of each case, in process."""

from __future__ import annotations

import csv
import errno
import json
from pathlib import Path
from typing import Any

import pytest

from app import cli
from phantoms.series import SLICES, slice_file
from phantoms.slices import SECRET_ID

pytestmark = pytest.mark.usefixtures("arithmetic")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A series, and a file that is none."""
    tree = tmp_path / "tree"
    (tree / "series").mkdir(parents=True)
    for n in range(SLICES):
        (tree / "series" / f"{n:02d}.dcm").write_bytes(slice_file(n))
    return tree


def rows_of(out: Path) -> list[dict[str, str]]:
    with (out / "findings.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_each_case_has_its_report_its_pictures_and_its_rows(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken, out = tmp_path / "broken.dcm", tmp_path / "out" / "of the day"
    broken.write_bytes(b"\0" * 128 + b"DICM")
    given = ["predict", str(tree), str(broken), "--out", str(out), "--json", "--language", "zh"]
    assert cli.main(given) == cli.SOME_FAILED
    answer, failed = map(json.loads, capsys.readouterr().out.splitlines())
    rows = rows_of(out)
    assert [row["path"] for row in rows] == [str(tree / "series")] * len(answer["findings"]) + [str(broken)]
    assert rows[-1]["error_code"] == failed["error"]["code"]
    assert rows[-1]["case"] == "0002"
    case = rows[0]["case"]
    assert case.startswith("0001-")
    for row, finding in zip(rows, answer["findings"], strict=False):
        assert_same(row, finding)
    assert sorted(path.name for path in out.iterdir()) == [case, "findings.csv"]
    assert {path.name for path in (out / case).iterdir()} >= {"report.html", "report.pdf"}
    pictures = list((out / case).glob("??-slice-???.png"))
    assert pictures
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in pictures)
    page = (out / case / "report.html").read_text("utf-8")
    assert answer["display"] in page
    assert SECRET_ID not in page
    assert (out / case / "report.pdf").read_bytes().startswith(b"%PDF")


def assert_same(row: dict[str, str], finding: dict[str, Any]) -> None:
    assert float(row["probability"]) == finding["probability"]
    assert int(row["slice"]) == finding["slice"]["index"] + 1
    assert float(row["long_axis_mm"]) == finding["size"]["long_axis_mm"]
    assert row["side"] == (finding["location"]["side"] or "")


def test_a_slice_has_one_picture_and_guidelines_if_asked(tmp_path: Path) -> None:
    image, out = tmp_path / "slice.dcm", tmp_path / "out"
    image.write_bytes(slice_file(8))
    assert cli.main(["predict", str(image), "--out", str(out), "--guidelines", "brock"]) == cli.OK
    (case,) = (path for path in out.iterdir() if path.is_dir())
    assert case.name == "0001"
    assert {path.name for path in case.iterdir()} == {"report.html", "report.pdf", "slice.png"}
    assert "Brock" in (case / "report.html").read_text("utf-8")


def test_a_folder_with_something_in_it_is_left_alone(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["predict", str(tree), "--out", str(tree)]) == cli.CANNOT_START
    assert "a new or an empty folder" in capsys.readouterr().err
    assert {path.name for path in tree.iterdir()} == {"series"}
    file = tmp_path / "file"
    file.write_bytes(b"")
    assert cli.main(["predict", str(tree), "--out", str(file)]) == cli.CANNOT_START
    assert "no way to write" in capsys.readouterr().err


def test_when_the_folder_cannot_be_written_any_more_it_stops(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_path: Path, _data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    image, out = tmp_path / "slice.dcm", tmp_path / "out"
    image.write_bytes(slice_file(8))
    monkeypatch.setattr(Path, "write_bytes", full)
    assert cli.main(["predict", str(image), str(image), "--out", str(out)]) == cli.SOME_FAILED
    assert "cannot be written any more (No space left on device): stopped after 0 of 2" in capsys.readouterr().err
