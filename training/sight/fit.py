"""Trains the network: a small CNN that keeps places apart, for where the body ends tells one plane from another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final  # keras is untyped

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray
from tqdm import tqdm

from app.imaging.ct import FloatImage
from training.sight.variants import noise, variant
from training.sight.views import View

SIZE_PX: Final = 48
CLIP_HU: Final = (-1000.0, 400.0)
CHANNELS: Final = (8, 16, 32, 32)
HIDDEN: Final = 32
BATCH: Final = 48
STEPS: Final = 1000
LEARNING_RATE: Final = 3e-3
SEED: Final = 20
REJECTED_BELOW: Final = 0.0  # even odds; stated before anything was measured
DOUBTFUL_BELOW: Final = 2.0  # odds of seven to one
SHARES: Final = {
    ("scan", "axial"): 0.16,
    ("chest-slices", "axial"): 0.16,
    ("iq-othnccd", "axial"): 0.17,
    ("scan", "coronal"): 0.16,
    ("scan", "sagittal"): 0.18,
    ("scan", "region"): 0.05,
    ("chest-slices", "region"): 0.07,
    ("not-lung-ct", "region"): 0.02,
    ("not-lung-ct", "picture"): 0.02,
}  # of a batch; the rest is noise


def build() -> Any:
    """A Keras model from `hu` (N, size, size, 1) in HU to logits (N, 1)."""
    (low, high), size = CLIP_HU, SIZE_PX
    hu = keras.Input((size, size, 1), name="hu")
    maps = ops.subtract(ops.multiply(ops.clip(hu, low, high), 2 / (high - low)), (high + low) / (high - low))
    for n, channels in enumerate(CHANNELS):
        maps = layers.Conv2D(channels, 3, padding="same", use_bias=False)(maps)
        maps = layers.ReLU()(layers.BatchNormalization(momentum=0.95)(maps))
        if n < len(CHANNELS) - 1:
            maps = layers.MaxPooling2D()(maps)
    flat = layers.Dropout(0.3, seed=SEED)(layers.Flatten()(maps))
    hidden = layers.ReLU()(layers.Dense(HIDDEN)(flat))
    return keras.Model(hu, layers.Dense(1)(layers.Dropout(0.2, seed=SEED)(hidden)))


def train(views: Sequence[View], label: str, steps: int = STEPS) -> Any:
    """Fit a new network on these views; the same views and machine give the same weights."""
    keras.utils.set_random_seed(SEED)
    network, rng = build(), np.random.default_rng(SEED)
    schedule = keras.optimizers.schedules.CosineDecay(LEARNING_RATE, steps)
    loss = keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=0.02)
    network.compile(keras.optimizers.AdamW(schedule, weight_decay=1e-3), loss, jit_compile=False)
    groups = {key: [v for v in views if (v.source, v.kind) == key and v.is_chest is not None] for key in SHARES}
    for _ in tqdm(range(steps), desc=label, unit="step", mininterval=10):
        network.train_on_batch(*_batch(groups, rng))
    return network


def logits(network: Any, thumbnails: Sequence[FloatImage]) -> NDArray[np.float32]:
    """Logits (N,) of float32 (size, size) thumbnails in HU."""
    chunks = np.array_split(np.stack(thumbnails)[..., None], max(1, len(thumbnails) // 256))
    return np.concatenate([ops.convert_to_numpy(network(chunk, training=False))[:, 0] for chunk in chunks])


def _batch(
    groups: Mapping[tuple[str, str], Sequence[View]], rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    filled = [views for views in groups.values() if views]
    shares = np.array([SHARES[key] for key, views in groups.items() if views])
    learned = sum(SHARES.values())
    drawn = rng.choice(len(filled) + 1, BATCH, p=[*(shares * learned / shares.sum()), 1 - learned])
    pairs = [_example(filled[n] if n < len(filled) else (), rng) for n in drawn.tolist()]
    images, labels = zip(*pairs, strict=True)
    return np.stack(images)[..., None], np.array(labels, np.float32)[:, None]


def _example(views: Sequence[View], rng: np.random.Generator) -> tuple[FloatImage, bool]:
    """A variant of one of the views and whether it is a chest; noise where there are none."""
    if not views:
        return noise(SIZE_PX, rng), False
    view = views[int(rng.integers(len(views)))]
    return variant(view, SIZE_PX, rng), bool(view.is_chest)
