"""The wheel carries the bundles: unpacked anywhere, it judges."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import app
from app.api.routes.docs import EXAMPLE_SLICE
from tests.conftest import REPOSITORY

SOURCES = ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE", "app", "models", "training")
BUILD = "import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])"
COMMAND = "import sys; from app.cli import main; sys.exit(main())"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, unpacked as pip does it."""
    folder = tmp_path_factory.mktemp("wheel")
    (source := folder / "source").mkdir()
    for name in SOURCES:
        copy = shutil.copytree if (REPOSITORY / name).is_dir() else shutil.copyfile
        copy(REPOSITORY / name, source / name)
    done = subprocess.run(
        [sys.executable, "-c", BUILD, str(folder)], cwd=source, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    shutil.rmtree(source)
    return folder / "site"


def lungscope(installed: Path, *arguments: str) -> str:
    """What a command prints, with nothing of this checkout in reach."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith("LUNGSCOPE_")}
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, *arguments],
        cwd=installed,
        env={**outside, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_the_wheel_holds_every_file_of_every_bundle(installed: Path) -> None:
    def files(folder: Path) -> dict[str, int]:
        return {str(p.relative_to(folder)): p.stat().st_size for p in folder.rglob("*") if p.is_file()}

    assert files(installed / "app" / "bundles") == files(REPOSITORY / "models")


def test_what_is_installed_judges_an_archive(installed: Path, tmp_path: Path) -> None:
    series = REPOSITORY / "app" / "web" / "example-series.zip"
    lungscope(installed, "batch", str(series), "--out", str(tmp_path / "out"), "--workers", "1")
    (row,) = pq.read_table(tmp_path / "out" / "series.parquet").to_pylist()
    assert row["classifier"].startswith("nodule-classifier/")
    assert row["findings"] == pq.read_table(tmp_path / "out" / "findings.parquet").num_rows


def test_what_is_installed_says_its_version_and_judges(installed: Path) -> None:
    assert lungscope(installed, "--version").strip() == app.__version__
    answer = json.loads(lungscope(installed, "predict", str(EXAMPLE_SLICE), "--roi", "148,240", "--json"))
    assert answer["model"]["name"] == "nodule-classifier"
    assert len(answer["findings"]) == 1
