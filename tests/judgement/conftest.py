"""The judge alone, on models whose answers are arithmetic."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.inference.bundle import load_bundle
from app.inference.registry import ModelRegistry, verify_detector
from app.judgement.judge import Judge
from app.telemetry import Metrics
from tests.fakes import ArithmeticBackend, ArithmeticFilter, write_bundle, write_detector


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def judge(tmp_path: Path, metrics: Metrics) -> Judge:
    detector = verify_detector(write_detector(tmp_path), ArithmeticFilter())
    registry = ModelRegistry(load_bundle(write_bundle(tmp_path)), ArithmeticBackend(), detector)
    registry.load()
    return Judge(registry, metrics, max_slices=100)
