"""The arithmetic model."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.inference.bundle import load_bundle
from app.inference.model import Model
from tests.fakes import ArithmeticBackend, write_bundle


@pytest.fixture
def backend() -> ArithmeticBackend:
    return ArithmeticBackend()


@pytest.fixture
def model(tmp_path: Path, backend: ArithmeticBackend) -> Model:
    return Model.load(load_bundle(write_bundle(tmp_path)), backend)
