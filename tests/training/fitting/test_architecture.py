"""The network sees what it should, and one head's loss teaches what it should."""

from __future__ import annotations

from typing import Any  # keras is untyped

import keras
import numpy as np
from numpy.typing import NDArray

from training.data.nodules import Dataset
from training.evaluation.calibration import sigmoid
from training.fitting.architectures import DENSE_HU, SOFT_TISSUE_HU, build_network
from training.fitting.batches import BatchSource
from training.fitting.config import Config
from training.fitting.train import fitting_model, predict, step_once


def seen_by(network: Any, hu: float) -> NDArray[np.float32]:
    """(size, size, channels) that the first convolution gets of a patch of one density."""
    first = next(layer for layer in network.layers if isinstance(layer, keras.layers.Conv2D))
    size = network.input.shape[1]
    seen = keras.Model(network.input, first.input)(np.full((1, size, size, 1), hu, np.float32))
    return np.array(seen, np.float32).squeeze(0)


def test_hu_are_clipped_and_scaled_in_three_windows(config: Config) -> None:
    network = build_network(config)
    for channel, (low, high) in enumerate((config.input.clip_hu, SOFT_TISSUE_HU, DENSE_HU)):
        for hu, wanted in ((low - 500, -1), (low, -1), ((low + high) / 2, 0), (high, 1), (high + 500, 1)):
            np.testing.assert_allclose(seen_by(network, hu)[..., channel], wanted, atol=1e-5)


def test_the_network_knows_how_far_from_the_middle_a_place_is(config: Config) -> None:
    distance, middle = seen_by(build_network(config), 0.0)[..., 3], config.input.size_px // 2
    np.testing.assert_allclose(distance, distance[::-1, ::-1])
    np.testing.assert_allclose(distance, distance.T)
    assert (np.diff(distance[middle, middle:]) > 0).all()


def test_the_outline_is_taught_by_its_readers_alone(dataset: Dataset, config: Config) -> None:
    weights = {"malignancy": 1.0, "nodule": 1.0, "traits": 1.0, "mask": 0.0}
    optimiser = config.optimiser.model_copy(update={"loss_weights": weights, "weight_decay": 0.0})
    model = fitting_model(config.model_copy(update={"optimiser": optimiser}))
    mask, malignancy = (model.get_layer(name) for name in ("mask", "malignancy"))
    before = [np.array(w) for layer in (mask, malignancy) for w in layer.get_weights()]
    step_once(model, BatchSource(dataset, config)(0))
    after = [np.array(w) for layer in (mask, malignancy) for w in layer.get_weights()]
    assert [np.array_equal(a, b) for a, b in zip(before, after, strict=True)] == [True, True, False, False]


def test_local_logits_average_to_the_logit_which_begins_at_the_mean_rating(config: Config) -> None:
    network = build_network(config)
    hu = np.random.default_rng(0).normal(-800, 100, (3, config.input.size_px, config.input.size_px)).astype(np.float32)
    said = predict(network, hu)
    np.testing.assert_allclose(said.local.mean(axis=(1, 2)), said.malignancy, atol=1e-5)
    _, bias = network.get_layer("malignancy").get_weights()
    np.testing.assert_allclose(sigmoid(bias), 0.4, atol=0.01)


def test_running_statistics_take_in_three_hundredths_of_each_batch(dataset: Dataset, config: Config) -> None:
    model, batch = fitting_model(config), BatchSource(dataset, config)(0)
    first = next(layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization))
    mean = np.asarray(keras.Model(model.input, first.input)(batch.hu)).mean(axis=(0, 1, 2))
    step_once(model, batch)
    np.testing.assert_allclose(np.asarray(first.moving_mean), 0.03 * mean, rtol=1e-3, atol=1e-6)
