"""The arithmetic model."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.inference.bundle import load_bundle
from app.inference.detector import Detector
from app.inference.model import Model
from app.inference.suspicion import SecondLook
from tests.fakes import ArithmeticBackend, arithmetic_detector, arithmetic_look, write_bundle


@pytest.fixture
def backend() -> ArithmeticBackend:
    return ArithmeticBackend()


@pytest.fixture
def model(tmp_path: Path, backend: ArithmeticBackend) -> Model:
    return Model.load(load_bundle(write_bundle(tmp_path)), backend)


@pytest.fixture
def detector(tmp_path: Path) -> Detector:
    return arithmetic_detector(tmp_path)


@pytest.fixture
def second_look(tmp_path: Path, detector: Detector) -> SecondLook:
    return arithmetic_look(tmp_path, detector)
