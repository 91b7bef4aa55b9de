"""A spooled series, judged in process."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from app.imaging.chunked import piece_of
from app.main import create_app
from app.settings import Settings
from benchmarks.serving.service import eventually
from tests.api.conftest import wait_until_ready
from tests.api.dicomweb.test_dicomweb import post, spooled
from tests.fakes import ArithmeticBackend, ArithmeticFilter, write_models
from tests.imaging.series_files import enhanced_file, taken_files


def test_a_large_multi_frame_file_shrinks_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.imaging.archive.LARGE_BYTES", 1000)
    files = taken_files(monkeypatch)
    write_models(tmp_path)
    settings = Settings(models_dir=tmp_path, spool_dir=tmp_path / "state", settle_seconds=0, threads=1)
    with TestClient(create_app(settings, backend=ArithmeticBackend(), detector_backend=ArithmeticFilter())) as client:
        wait_until_ready(client)
        assert post(client, [enhanced_file([0.0, 1.0, 2.0])])[0] == 200
        assert eventually(lambda: not spooled(settings))
    (file,) = files
    with pytest.raises(OSError, match="released"):
        piece_of(file, 0, 1)
