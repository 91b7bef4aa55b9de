"""An archive with what archives have: series, a zip, a series in two folders, scout views, notes, damage."""

from __future__ import annotations

from pathlib import Path

import pytest

from phantoms.archive import SHOWN, archived_slice, write_series
from phantoms.series import slice_file, zipped
from tests.batch.tables import arithmetic, run
from tests.fakes import write_models

PLAIN_SERIES = 6
BROKEN = b"\0" * 128 + b"DICM" + b"\xff" * 40


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The arithmetic bundles."""
    folder = tmp_path_factory.mktemp("models")
    write_models(folder)
    return folder


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For all tests, which leave it as it is."""
    folder = tmp_path_factory.mktemp("archive") / "Secret^Patient"
    for number in range(PLAIN_SERIES):
        write_series(folder / f"plain {number}", number)
    (folder / "notes.txt").write_text("no image")
    (folder / "scout.dcm").write_bytes(slice_file(0, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]))
    (folder / "broken.dcm").write_bytes(BROKEN)
    (folder / "packed.zip").write_bytes(zipped([archived_slice(100, index) for index in SHOWN]))
    (folder / "torn.zip").write_bytes(b"PK\x03\x04" + b"torn" * 20)
    for place, index in enumerate(SHOWN):
        half = folder / f"half {place % 2}"
        half.mkdir(exist_ok=True)
        (half / f"{index}.dcm").write_bytes(archived_slice(200, index))
    (folder / "one.dcm").write_bytes(archived_slice(300, SHOWN[4]))
    return folder


@pytest.fixture(scope="session")
def undisturbed(archive: Path, models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of one worker that nobody stopped."""
    out = tmp_path_factory.mktemp("undisturbed")
    run(archive, out, arithmetic(models))
    return out
