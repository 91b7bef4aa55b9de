"""The judge alone, on models whose answers are arithmetic."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.inference.registry import ModelRegistry
from app.judgement.judge import Judge
from app.telemetry import Metrics
from tests.fakes import NAMES, arithmetic_backends, write_models


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def judge(tmp_path: Path, metrics: Metrics) -> Judge:
    write_models(tmp_path)
    registry = ModelRegistry.verified(tmp_path, NAMES, arithmetic_backends())
    registry.load()
    return Judge(registry, metrics, max_slices=100)
