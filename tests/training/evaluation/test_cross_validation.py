"""Which fold is predicted by what, and when a fold's predictions are kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.training.evaluation.hand_made import knowing_what_they_saw
from training.data.nodules import Dataset
from training.evaluation.cross_validation import PREDICTIONS_FILE, cross_validate, predict_fold
from training.evaluation.held_out import load
from training.fitting.config import Config


def test_each_fold_is_predicted_by_a_network_of_the_others(
    dataset: Dataset, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = knowing_what_they_saw(monkeypatch)
    nodules, candidates = cross_validate(dataset, config)
    assert [seen.folds for seen in trained] == [tuple(f for f in dataset.folds if f != k) for k in dataset.folds]
    assert nodules.fold.tolist() == sorted(n.fold for n in dataset.nodules)
    assert candidates.fold.tolist() == sorted(c.fold for c in dataset.candidates)


def test_predictions_are_kept_for_the_same_data_and_settings_only(
    dataset: Dataset, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = knowing_what_they_saw(monkeypatch)

    def trainings(data: Dataset, recipe: Config, *, restart: bool = False) -> int:
        before = len(trained)
        found, _ = predict_fold(data, recipe, 1, label="fold", folder=tmp_path, restart=restart)
        kept, _ = load(tmp_path / PREDICTIONS_FILE)
        np.testing.assert_array_equal(found.malignancy, kept.malignancy)
        return len(trained) - before

    assert trainings(dataset, config) == 1
    assert trainings(dataset, config) == 0
    assert trainings(dataset, config, restart=True) == 1
    outside = tuple(replace(n, hu=n.hu + np.int16(1)) if n.fold == 1 else n for n in dataset.nodules)
    assert trainings(replace(dataset, nodules=outside), config) == 1
    inside = tuple(replace(n, hu=n.hu + np.int16(1)) if n.fold == 0 else n for n in dataset.nodules)
    assert trainings(replace(dataset, nodules=inside), config) == 1
    shrunk = config.calibration.model_copy(update={"shrinkage": 0.5})
    assert trainings(replace(dataset, nodules=inside), config.model_copy(update={"calibration": shrunk})) == 1
