"""What is minimised, and at which rate: each loss beside its formula in NumPy."""

from __future__ import annotations

import math
from typing import Any  # keras is untyped

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from training.data.nodules import Dataset
from training.evaluation.calibration import sigmoid
from training.fitting.batches import Batch, BatchSource
from training.fitting.config import Config
from training.fitting.train import fitting_model, step_once

Floats = NDArray[np.float64]


@pytest.fixture(scope="module")
def without_dropout(config: Config) -> Config:
    """The tiny network with losses that weigh differently, and nothing random in its forward pass."""
    weights = {"malignancy": 1.0, "nodule": 0.5, "traits": 0.25, "mask": 2.0}
    optimiser = config.optimiser.model_copy(update={"loss_weights": weights})
    network = config.network.model_copy(update={"dropout": 0.0})
    return config.model_copy(update={"optimiser": optimiser, "network": network})


@pytest.fixture(scope="module")
def step(dataset: Dataset, without_dropout: Config) -> tuple[Batch, dict[str, Floats], dict[str, float]]:
    """A batch, the logits about it as training computes them, and the losses of its step, which is the second one."""
    batch, model = BatchSource(dataset, without_dropout)(0), fitting_model(without_dropout)
    step_once(model, BatchSource(dataset, without_dropout)(1))
    said = {name: np.asarray(value, np.float64) for name, value in model(batch.hu, training=True).items()}
    return batch, said, step_once(model, batch)


def entropy(target: NDArray[np.float32], logit: Floats) -> Floats:
    probability = sigmoid(logit)
    return np.asarray(-(target * np.log(probability) + (1 - target) * np.log(1 - probability)), np.float64)


def test_ratings_are_learned_by_cross_entropy_with_their_weights(
    step: tuple[Batch, dict[str, Floats], dict[str, float]],
) -> None:
    batch, said, losses = step
    calcium = np.array([1, 3, 1, 1, 1, 1, 1]) * 7 / 9  # the second trait weighs three times as much
    for name, shares in (("malignancy", 1.0), ("nodule", 1.0), ("traits", calcium)):
        each = (shares * entropy(batch.targets[name], said[name])).mean(axis=-1)
        assert losses[f"{name}_loss"] == pytest.approx(float(np.mean(each * batch.weights[name])), rel=1e-4)


def test_the_outline_is_learned_by_cross_entropy_and_dice(
    step: tuple[Batch, dict[str, Floats], dict[str, float]],
) -> None:
    batch, said, losses = step
    target, probability, axes = batch.targets["mask"], sigmoid(said["mask"]), (1, 2, 3)
    overlap, total = (probability * target).sum(axis=axes), (probability + target).sum(axis=axes)
    each = entropy(target, said["mask"]).mean(axis=axes) + 1 - (2 * overlap + 1) / (total + 1)
    assert losses["mask_loss"] == pytest.approx(float(np.mean(each * batch.weights["mask"])), rel=1e-4)


def test_losses_are_added_with_their_weights(
    step: tuple[Batch, dict[str, Floats], dict[str, float]], without_dropout: Config
) -> None:
    _, _, losses = step
    weights = without_dropout.optimiser.loss_weights
    wanted = sum(weight * losses[f"{name}_loss"] for name, weight in weights.items())
    assert losses["loss"] == pytest.approx(wanted, rel=1e-5)


def test_every_head_and_the_encoder_learn(dataset: Dataset, without_dropout: Config) -> None:
    model = fitting_model(without_dropout)
    before = [np.array(variable.numpy()) for variable in model.trainable_variables]
    step_once(model, BatchSource(dataset, without_dropout)(0))
    unmoved = [v.path for v, b in zip(model.trainable_variables, before, strict=True) if np.array_equal(v.numpy(), b)]
    assert unmoved == []


def rates(model: Any, steps: int) -> list[float]:
    """What the optimiser itself would use at each step."""
    found = []
    for step in range(steps):
        model.optimizer.iterations.assign(step)
        found.append(float(keras.ops.convert_to_numpy(model.optimizer.learning_rate)))
    return found


def test_the_optimisers_rate_warms_up_in_a_line_and_falls_as_a_cosine(config: Config) -> None:
    steps, warmup, peak = 20, 5, 0.01
    update = {"steps": steps, "warmup_steps": warmup, "learning_rate": peak}
    model = fitting_model(config.model_copy(update={"optimiser": config.optimiser.model_copy(update=update)}))
    found = rates(model, steps)
    line = [peak / 20 + (peak - peak / 20) * k / warmup for k in range(warmup)]
    fall = [peak * (1 + math.cos(math.pi * k / (steps - warmup))) / 2 for k in range(steps - warmup)]
    assert found == pytest.approx([*line, *fall], rel=1e-4)
    assert found[0] < found[warmup] / 10
    assert (model.optimizer.weight_decay, model.optimizer.clipnorm) == (config.optimiser.weight_decay, 5.0)
