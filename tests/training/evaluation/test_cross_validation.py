"""Which fold is predicted by what, and when a fold's predictions are kept."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.training.evaluation.hand_made import knowing_what_they_saw
from training.data.nodules import Dataset
from training.evaluation import cross_validation
from training.evaluation.cross_validation import PREDICTIONS_FILE, RUN_FILE, cross_validate, predict_fold
from training.evaluation.held_out import PredictionsOutdated, load
from training.fitting.artefacts import NETWORK_FILE
from training.fitting.checkpoints import CHECKPOINT_FILE, facts_in, write_whole
from training.fitting.config import Config


def test_each_fold_is_predicted_by_a_network_of_the_others(
    dataset: Dataset, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = knowing_what_they_saw(monkeypatch)
    nodules, candidates = cross_validate(dataset, config)
    assert [seen.folds for seen in trained] == [tuple(f for f in dataset.folds if f != k) for k in dataset.folds]
    assert nodules.fold.tolist() == sorted(n.fold for n in dataset.nodules)
    assert candidates.fold.tolist() == sorted(c.fold for c in dataset.candidates)


def test_a_network_whose_predictions_are_of_older_code_is_asked_again_and_not_trained_again(
    dataset: Dataset, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = predict_fold(dataset, config, 1, label="fold", folder=tmp_path)
    network = (tmp_path / NETWORK_FILE).read_bytes()
    age(tmp_path / PREDICTIONS_FILE, {"code of evaluation/predictions.py": "older"})
    (tmp_path / CHECKPOINT_FILE).unlink()  # nothing to go on from, only the finished network
    monkeypatch.setattr(cross_validation, "train", not_again)
    again, _ = predict_fold(dataset, config, 1, label="fold", folder=tmp_path)
    for name in ("malignancy", "nodule", "negative_malignancy", "traits", "soft_diameter_mm", "distance"):
        np.testing.assert_allclose(getattr(again, name), getattr(first, name), rtol=1e-4)
    assert (tmp_path / NETWORK_FILE).read_bytes() == network
    with np.load(tmp_path / PREDICTIONS_FILE) as stored:
        assert facts_in(stored)["code of evaluation/predictions.py"] != "older"


def test_a_network_that_came_without_predictions_is_asked(
    dataset: Dataset, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = predict_fold(dataset, config, 1, label="fold", folder=tmp_path / "made")
    (tmp_path / "taken").mkdir()
    for name in (NETWORK_FILE, RUN_FILE):
        (tmp_path / "taken" / name).write_bytes((tmp_path / "made" / name).read_bytes())
    monkeypatch.setattr(cross_validation, "train", not_again)
    again, _ = predict_fold(dataset, config, 1, label="fold", folder=tmp_path / "taken")
    np.testing.assert_allclose(again.malignancy, first.malignancy, rtol=1e-4)


def test_a_network_of_other_training_code_is_not_asked_again(
    dataset: Dataset, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict_fold(dataset, config, 1, label="fold", folder=tmp_path)
    run = json.loads((tmp_path / RUN_FILE).read_text("utf-8")) | {"code of fitting/samples.py": "older"}
    (tmp_path / RUN_FILE).write_text(json.dumps(run), "utf-8")
    age(tmp_path / PREDICTIONS_FILE, {"code of fitting/samples.py": "older"})
    monkeypatch.setattr(cross_validation, "train", not_again)
    with pytest.raises(AssertionError, match="trained again"):
        predict_fold(dataset, config, 1, label="fold", folder=tmp_path)


def age(predictions: Path, facts: dict[str, str]) -> None:
    """Predictions as if other code had made them: without what is measured today."""
    with np.load(predictions) as stored:
        arrays = {name: stored[name] for name in stored.files if name not in ("facts", "nodules.dice_consensus")}
        write_whole(predictions, arrays, facts_in(stored) | facts)


def not_again(*_: object, **__: object) -> None:
    raise AssertionError("trained again")


def test_predictions_of_an_older_version_say_what_to_do(dataset: Dataset, config: Config, tmp_path: Path) -> None:
    predict_fold(dataset, config, 1, label="fold", folder=tmp_path)
    age(tmp_path / PREDICTIONS_FILE, {})
    with pytest.raises(PredictionsOutdated, match=r"without nodules\.dice_consensus"):
        load(tmp_path / PREDICTIONS_FILE)


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
