"""A filter's training that is killed goes on and ends with the weights it would have had."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any  # keras is untyped

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.training.conftest import CONFIGS
from training.detector.artefacts import BASE, read_filter, train_filters
from training.detector.config import DetectorConfig, FilterConfig
from training.detector.samples import DetectorBatches
from training.fitting.checkpoints import CHECKPOINT_FILE, OtherRun

KILLED_FILTER = Path(__file__).with_name("killed_filter.py")
STEPS, CHECKPOINT_STEPS = 6, 2
NAME = "a"


@pytest.fixture(scope="module")
def longer(recipe: DetectorConfig) -> DetectorConfig:
    """One filter; as many steps for it as for the base, which has no warm-up: its first steps count."""
    learning = recipe.learning.model_copy(update={"steps": (STEPS, STEPS), "ema_momentum": 0.9, "compiled": False})
    only = {NAME: FilterConfig(held_out_folds=(), hard_negatives=())}
    return recipe.model_copy(update={"learning": learning, "filters": only, "checkpoint_steps": CHECKPOINT_STEPS})


@pytest.fixture(scope="module")
def undisturbed(generated_data: Path, longer: DetectorConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    train_filters(generated_data, longer, folder, [NAME])
    return folder


def state_of(network: Any) -> list[NDArray[np.float32]]:
    return [np.asarray(variable.numpy()) for variable in network.variables]


def require_identical(one: Path, other: Path) -> None:
    for name in (BASE, NAME):
        (first, record), (second, again) = (read_filter(folder, name) for folder in (one, other))
        for a, b in zip(state_of(first), state_of(second), strict=True):
            np.testing.assert_array_equal(a, b)
        assert record == again


def steps_in(folder: Path, name: str) -> int:
    with np.load(folder / f"{name}.{CHECKPOINT_FILE}") as stored:
        return len(stored["history"])


class Stopped(Exception):
    """What stops a run in these tests."""


def test_a_stopped_base_ends_with_the_same_weights(
    generated_data: Path, longer: DetectorConfig, undisturbed: Path, tmp_path: Path
) -> None:
    prepare = DetectorBatches.__call__

    def prepare_or_stop(source: DetectorBatches, number: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        if number == STEPS - 1:
            raise Stopped
        return prepare(source, number)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(DetectorBatches, "__call__", prepare_or_stop)
        with pytest.raises(Stopped):
            train_filters(generated_data, longer, tmp_path, [NAME])
    assert not (tmp_path / f"{BASE}.keras").exists()
    assert 0 < steps_in(tmp_path, BASE) < STEPS
    train_filters(generated_data, longer, tmp_path, [NAME])
    require_identical(tmp_path, undisturbed)


def test_a_killed_process_ends_with_the_same_weights(
    generated_data: Path, longer: DetectorConfig, undisturbed: Path, tmp_path: Path
) -> None:
    recipe, folder = tmp_path / "recipe.json", tmp_path / "out"
    recipe.write_text(longer.model_dump_json(), "utf-8")
    command = [sys.executable, str(KILLED_FILTER), str(recipe), str(generated_data), str(folder), str(2 * STEPS - 1)]
    environment = os.environ | {"PYTHONPATH": str(CONFIGS.parents[1])}
    killed = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (folder / f"{NAME}.keras").exists()
    assert 0 < steps_in(folder, NAME) < STEPS
    train_filters(generated_data, longer, folder, [NAME])
    require_identical(folder, undisturbed)


def test_a_finished_filter_is_not_trained_again(
    generated_data: Path, longer: DetectorConfig, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copy_of(undisturbed, tmp_path)
    monkeypatch.setattr(DetectorBatches, "__call__", None)
    train_filters(generated_data, longer, folder, [NAME])
    require_identical(folder, undisturbed)


def test_another_recipe_is_refused_and_restart_discards_it(
    generated_data: Path, longer: DetectorConfig, undisturbed: Path, tmp_path: Path
) -> None:
    folder = copy_of(undisturbed, tmp_path)
    fewer = longer.learning.model_copy(update={"steps": (1, 1)})
    other = longer.model_copy(update={"learning": fewer})
    with pytest.raises(OtherRun, match=r"learning\.steps: \[6, 6\] there, \[1, 1\] here.*--restart"):
        train_filters(generated_data, other, folder, [NAME])
    train_filters(generated_data, other, folder, [NAME], restart=True)
    assert (steps_in(folder, BASE), steps_in(folder, NAME)) == (1, 1)
    assert read_filter(folder, BASE)[1].config == other


def test_a_filter_does_not_go_on_from_another_base(
    generated_data: Path, longer: DetectorConfig, undisturbed: Path, tmp_path: Path
) -> None:
    folder = copy_of(undisturbed, tmp_path)
    (folder / f"{BASE}.keras").write_bytes((folder / f"{NAME}.keras").read_bytes())
    with pytest.raises(OtherRun, match="base: sha256:"):
        train_filters(generated_data, longer, folder, [NAME])


def copy_of(run: Path, tmp_path: Path) -> Path:
    return shutil.copytree(run, tmp_path / "copy")
