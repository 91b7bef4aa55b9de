"""What makes another run: every setting, sample and statement that decides weights, and nothing else."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from training.data.nodules import Dataset
from training.fitting import train
from training.fitting.config import Config
from training.fitting.identity import CODE, data_digest, differences, run_facts

ROOM = Path(train.__file__).parent
# Carry, read or show what others decide.
DECIDES_NOTHING = {"checkpoints", "config", "device", "history", "identity", "loading"}


@pytest.mark.parametrize(
    ("section", "change"),
    [("input", {"spacing_mm": 0.6}), ("network", {"dropout": 0.9}), ("batch", {"synthetic": 7}),
     ("augment", {"noise": 0.9}), ("optimiser", {"weight_decay": 0.9})],
)  # fmt: skip
def test_a_setting_that_decides_weights_makes_another_run(
    dataset: Dataset, config: Config, section: str, change: dict[str, float]
) -> None:
    other = config.model_copy(update={section: getattr(config, section).model_copy(update=change)})
    name = f"{section}.{next(iter(change))}"
    assert [found.split(":")[0] for found in differences(run_facts(dataset, config), run_facts(dataset, other))] == [
        name
    ]


def test_calibration_and_evaluation_make_no_other_run(dataset: Dataset, config: Config) -> None:
    calibration = config.calibration.model_copy(update={"sensitivity": 0.5})
    evaluation = config.evaluation.model_copy(update={"resamples": 11})
    other = config.model_copy(update={"calibration": calibration, "evaluation": evaluation})
    assert run_facts(dataset, config) == run_facts(dataset, other)


def test_candidates_are_among_the_data(dataset: Dataset) -> None:
    first, *others = dataset.candidates
    changed = replace(dataset, candidates=(replace(first, hu=first.hu + np.float32(1)), *others))
    assert data_digest(changed) != data_digest(dataset)


def test_the_code_of_a_run_is_all_that_training_imports_from_its_room(dataset: Dataset, config: Config) -> None:
    reached, waiting = set(), {"train"}
    while waiting:
        name = waiting.pop()
        reached.add(name)
        tree = ast.parse((ROOM / f"{name}.py").read_text("utf-8"))
        origins = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        waiting |= {origin.split(".")[2] for origin in origins if origin.startswith("training.fitting.")} - reached
    assert set(CODE) == reached - DECIDES_NOTHING
    assert {f"code of fitting/{name}.py" for name in CODE} | {"code of imaging/patches.py"} == {
        name for name in run_facts(dataset, config) if name.startswith("code of ")
    }
