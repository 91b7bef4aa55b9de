"""The shipped recipe, shrunk until it trains in a moment, and one run of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.training.conftest import CONFIGS
from training.second_look.artefacts import train_networks
from training.second_look.config import LookConfig, NetworkConfig, load_look_config

FILTER = CONFIGS.parents[1] / "models" / "nodule-detector" / "1"
STEPS, CHECKPOINT_STEPS = 6, 2
NAME = "a"


@pytest.fixture(scope="session")
def recipe() -> LookConfig:
    """The shipped recipe at a few steps of a tiny network, without scans and slices."""
    config = load_look_config(CONFIGS / "second_look.toml")
    few = config.sources.model_copy(update=dict.fromkeys(type(config.sources).model_fields, 2))
    tiny = {"channels": (4, 4, 4, 4), "steps": STEPS, "ema_momentum": 0.9, "compiled": False}
    return config.model_copy(
        update={
            "sources": few,
            "learning": config.learning.model_copy(update=tiny),
            "networks": {NAME: NetworkConfig(held_out_folds=(1,))},
            "scans": {},
            "chest_slices": None,
            "checkpoint_steps": CHECKPOINT_STEPS,
        }
    )


@pytest.fixture(scope="session")
def undisturbed(generated_data: Path, recipe: LookConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nothing stopped."""
    folder = tmp_path_factory.mktemp("second_look")
    train_networks(generated_data, recipe, FILTER, folder, [NAME])
    return folder
