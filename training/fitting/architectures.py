"""The network: a compact multi-task CNN in Keras 3, the same under TensorFlow, JAX and PyTorch.

Global average pooling feeds linear heads, so each head's class-activation map is exact (Zhou et al. 2016): the mean
over the map of `w . feature + b` is the logit itself.
"""

from __future__ import annotations

from typing import Any  # keras is untyped: its tensors, layers and models have no other name here

import keras
import numpy as np
from keras import layers, ops

from training.data.nodules import TRAIT_SCALES
from training.fitting.config import Config

TRAINED_OUTPUTS = ("malignancy", "nodule", "traits", "mask")
FEATURES = "features"
MALIGNANCY_LAYER = "malignancy"
SOFT_TISSUE_HU = (-150.0, 350.0)
DENSE_HU = (150.0, 1150.0)  # contrast ends about where calcium begins
MALIGNANCY_PRIOR = -0.4  # logit of the mean rating of LIDC nodules, 0.4 of the scale; saves the first steps


def build_network(config: Config) -> Any:
    """A Keras model from `hu` (N, size, size, 1) in HU to logits and the last feature map.

    Outputs: `malignancy` (N, 1), `nodule` (N, 1), `traits` (N, 7), `mask` (N, size, size, 1), all logits, and
    `features` (N, size/4, size/4, D), non-negative.
    """
    keras.utils.set_random_seed(config.seed)
    hu = keras.Input((config.input.size_px, config.input.size_px, 1), name="hu")
    stem, half, maps = _encoder(_normalised(hu, config), config)
    mask = _decoder(maps, half, stem, config.network.decoder)
    features = _located(maps, mask)
    pooled = layers.GlobalAveragePooling2D(name="embedding")(features)
    dropped = layers.Dropout(config.network.dropout, seed=config.seed)(pooled)
    prior = keras.initializers.Constant(MALIGNANCY_PRIOR)
    outputs = {
        "malignancy": layers.Dense(1, bias_initializer=prior, name=MALIGNANCY_LAYER)(dropped),
        "nodule": layers.Dense(1, name="nodule")(dropped),
        "traits": layers.Dense(len(TRAIT_SCALES), name="traits")(dropped),
        "mask": mask,
        FEATURES: features,
    }
    return keras.Model(hu, outputs, name="nodule_classifier")


def trained_part(network: Any) -> Any:
    """The same network (shared weights) with the outputs that have a loss."""
    outputs = network.output
    return keras.Model(network.input, {name: outputs[name] for name in TRAINED_OUTPUTS})


def _normalised(hu: Any, config: Config) -> Any:
    """HU in the whole window, in a soft-tissue one, where fat differs from tissue, and in a dense one, where calcium
    differs from iodine, each scaled to -1..1, beside the distance from the centre: a nodule elsewhere in the patch is
    not what was asked about, and pooling alone cannot tell."""
    scaled = _scaled(hu, config.input.clip_hu)
    middle = (config.input.size_px - 1) / 2
    y, x = np.mgrid[: config.input.size_px, : config.input.size_px] - middle
    distance = (np.hypot(x, y) / middle - 0.5).astype(np.float32)[None, ..., None]
    windows = [_scaled(hu, window) for window in (SOFT_TISSUE_HU, DENSE_HU)]
    return layers.Concatenate()([scaled, *windows, ops.add(ops.zeros_like(scaled), distance)])


def _scaled(hu: Any, window_hu: tuple[float, float]) -> Any:
    low, high = window_hu
    return ops.subtract(ops.multiply(ops.clip(hu, low, high), 2 / (high - low)), (high + low) / (high - low))


def _located(maps: Any, mask: Any) -> Any:
    """The feature maps as they are, inside the outline and just around it, each so weighted that its average over
    the map is its average over that place.

    Averaged over the whole patch alone, what a small nodule looks like drowns: 6 mm are 3 % of it. No gradient
    passes: the outline answers for its readers, not for the other heads.
    """
    cells = maps.shape[1] * maps.shape[2]
    inside = layers.AveragePooling2D(mask.shape[1] // maps.shape[1])(ops.sigmoid(ops.stop_gradient(mask)))
    around = ops.subtract(layers.MaxPooling2D(3, strides=1, padding="same")(inside), inside)
    places = [
        ops.multiply(maps, ops.divide(cells * place, ops.add(ops.sum(place, axis=(1, 2), keepdims=True), 1.0)))
        for place in (inside, around)
    ]
    return layers.Concatenate()([maps, *places])


def _encoder(image: Any, config: Config) -> tuple[Any, Any, Any]:
    full, half, quarter, eighth = config.network.channels
    stem = _block(image, full)
    at_half = _block(_block(stem, half, stride=2), half)
    at_quarter = _block(_block(at_half, quarter, stride=2), quarter)
    at_eighth = _block(_block(at_quarter, eighth, stride=2), eighth)
    joined = layers.Concatenate()([layers.UpSampling2D(2)(at_eighth), at_quarter])
    return stem, at_half, _block(joined, config.network.features, kernel=1)


def _decoder(features: Any, half: Any, stem: Any, channels: tuple[int, int]) -> Any:
    wide, narrow = channels
    at_half = layers.UpSampling2D(2)(_block(features, wide, kernel=1))
    at_half = _block(layers.Concatenate()([at_half, _block(half, wide, kernel=1)]), wide)
    at_full = layers.Concatenate()([layers.UpSampling2D(2)(at_half), stem])
    return layers.Conv2D(1, 1, name="mask")(_block(at_full, narrow))


def _block(tensor: Any, channels: int, *, stride: int = 1, kernel: int = 3) -> Any:
    tensor = layers.Conv2D(channels, kernel, strides=stride, padding="same", use_bias=False)(tensor)
    # Momentum 0.97: a run is too short for the default of 0.99 to forget its start.
    return layers.ReLU()(layers.BatchNormalization(momentum=0.97)(tensor))
