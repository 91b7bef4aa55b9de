"""The arithmetic model, whose evidence is where a patch is dense."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.inference.bundle import load_bundle
from app.inference.model import Model
from tests.fakes import ArithmeticBackend, write_bundle


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    path: Path = write_bundle(tmp_path_factory.mktemp("bundle"))
    return Model.load(load_bundle(path), ArithmeticBackend())
