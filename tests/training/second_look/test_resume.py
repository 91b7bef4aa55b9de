"""Training of a second look that is killed goes on and ends with the weights it would have had."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.training.conftest import CONFIGS
from tests.training.second_look.conftest import FILTER, NAME, STEPS
from training.fitting.checkpoints import CHECKPOINT_FILE, OtherRun
from training.second_look.artefacts import read_network, train_networks
from training.second_look.config import LookConfig
from training.second_look.samples import LookBatches

KILLED_LOOK = Path(__file__).with_name("killed_look.py")


def require_identical(one: Path, other: Path) -> None:
    (first, record), (second, again) = (read_network(folder, NAME) for folder in (one, other))
    for a, b in zip(first.variables, second.variables, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    assert record == again


def steps_in(folder: Path) -> int:
    with np.load(folder / f"{NAME}.{CHECKPOINT_FILE}") as stored:
        return len(stored["history"])


def test_a_killed_process_ends_with_the_same_weights(
    generated_data: Path, recipe: LookConfig, undisturbed: Path, tmp_path: Path
) -> None:
    file, folder = tmp_path / "recipe.json", tmp_path / "out"
    file.write_text(recipe.model_dump_json(), "utf-8")
    given = map(str, (KILLED_LOOK, file, generated_data, FILTER, folder, STEPS - 1))
    environment = os.environ | {"PYTHONPATH": str(CONFIGS.parents[1])}
    killed = subprocess.run([sys.executable, *given], env=environment, capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (folder / f"{NAME}.keras").exists()
    assert 0 < steps_in(folder) < STEPS
    train_networks(generated_data, recipe, FILTER, folder, [NAME])
    require_identical(folder, undisturbed)


def test_a_finished_network_is_not_trained_again(
    generated_data: Path, recipe: LookConfig, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(undisturbed, tmp_path / "copy")
    monkeypatch.setattr(LookBatches, "__call__", None)
    train_networks(generated_data, recipe, FILTER, folder, [NAME])
    require_identical(folder, undisturbed)


def test_another_recipe_is_refused_and_restart_discards_it(
    generated_data: Path, recipe: LookConfig, undisturbed: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(undisturbed, tmp_path / "copy")
    other = recipe.model_copy(update={"learning": recipe.learning.model_copy(update={"steps": 1})})
    with pytest.raises(OtherRun, match=r"learning\.steps: 6 there, 1 here.*--restart"):
        train_networks(generated_data, other, FILTER, folder, [NAME])
    train_networks(generated_data, other, FILTER, folder, [NAME], restart=True)
    assert steps_in(folder) == 1
    assert read_network(folder, NAME)[1].config == other
