"""The shipped recipe, shrunk until it trains in a moment."""

from __future__ import annotations

import pytest

from tests.training.conftest import CONFIGS
from training.detector.config import DetectorConfig, FilterConfig, load_detector_config


@pytest.fixture(scope="session")
def recipe() -> DetectorConfig:
    """The shipped recipe at two steps of a tiny network, without scans."""
    config = load_detector_config(CONFIGS / "detector.toml")
    few = config.sources.model_copy(update=dict.fromkeys(type(config.sources).model_fields, 2))
    learning = config.learning.model_copy(update={"channels": (4, 4, 4, 4), "steps": (2, 2)})
    filters = {"a": FilterConfig(held_out_folds=(1,), hard_negatives=()), "shipped": FilterConfig(
        held_out_folds=(), hard_negatives=())}  # fmt: skip
    return config.model_copy(update={"sources": few, "learning": learning, "filters": filters, "scans": {}})
