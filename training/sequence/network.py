"""The network: a small CNN that every slice goes through, and a bidirectional GRU over what it makes of them."""

from __future__ import annotations

from typing import Any, Final  # keras is untyped

import keras
import numpy as np
from keras import layers, ops

from app.inference.sequence import CHANNELS, HU, INSIDE, STEP_MM
from training.sequence.config import SequenceConfig

SLICES: Final = "slices"
SEQUENCE: Final = "sequence"
LOWEST: Final = -2.0  # below every output of a GRU, which lies between -1 and 1
USUAL_STEP_MM: Final = 2.5
LOG_AREA: Final = 5.0  # ln of 150 mm2, so that it is of the size of the other features


class SequenceNetwork(keras.Model):  # type: ignore[misc]  # keras is untyped
    """From `slices` (N, slices, size, size, 3), of any number of slices (`app.inference.sequence.StackContract`), to
    logits of suspicion: `slices` (N, slices, 1) of each by itself, and `sequence` (N, 1) of the GRU over all.

    The GRU learns from the embeddings and does not change them: those of the slices alone are the better ones where
    there are few nodules.
    """

    def __init__(self, config: SequenceConfig, seed: int) -> None:
        super().__init__()
        sizes = config.network
        self.clip_hu, self.pixel_mm2 = config.input.clip_hu, config.input.spacing_mm**2
        self.convolutions = [
            layers.Conv2D(width, 3, strides=1 if k == 0 else 2, padding="same", use_bias=False)
            for k, width in enumerate(sizes.channels)
        ]
        # Momentum 0.97: a run is too short for the default of 0.99 to forget its start.
        self.norms = [layers.BatchNormalization(momentum=0.97) for _ in sizes.channels]
        self.embedding = layers.Dense(sizes.embedding, activation="relu")
        # Not cuDNN's kernel on a GPU: what is exported runs on a CPU.
        self.over_slices = layers.Bidirectional(layers.GRU(sizes.over_slices, return_sequences=True, use_cudnn=False))
        self.dropped = [layers.Dropout(sizes.dropout, seed=seed + k) for k in range(3)]
        self.of_slice, self.of_sequence = layers.Dense(1), layers.Dense(1)

    def call(self, stacks: Any, training: bool = False) -> dict[str, Any]:
        """Slices that are not there change nothing: neither state nor maximum sees them."""
        there, embedded = self.embed(stacks, training)
        alone = self.of_slice(self.dropped[1](embedded, training=training))
        step = ops.expand_dims(ops.max(stacks[..., STEP_MM], axis=(2, 3)), -1) / USUAL_STEP_MM
        heard = self.over_slices(ops.concatenate([ops.stop_gradient(embedded), step], axis=-1), mask=there)
        strongest = ops.max(ops.where(ops.expand_dims(there, -1), heard, LOWEST), axis=1)
        return {SLICES: alone, SEQUENCE: self.of_sequence(self.dropped[2](strongest, training=training))}

    def embed(self, stacks: Any, training: bool = False) -> tuple[Any, Any]:
        """Which slices are there (N, slices), and their embeddings (N, slices, D)."""
        _, slices, rows, columns, _ = ops.shape(stacks)
        flat = ops.reshape(stacks, (-1, rows, columns, CHANNELS))
        inside = flat[..., INSIDE : INSIDE + 1]
        area_px = ops.sum(inside, axis=(1, 2))
        low, high = self.clip_hu
        scaled = (ops.clip(flat[..., HU : HU + 1], low, high) - low) / (high - low) * inside
        maps = ops.concatenate([scaled, inside], axis=-1)
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            maps = ops.relu(norm(convolution(maps), training=training))
        described = ops.concatenate(
            [
                ops.max(maps, axis=(1, 2)),
                ops.mean(maps, axis=(1, 2)),
                ops.log(1 + area_px * self.pixel_mm2) / LOG_AREA,
            ],
            axis=-1,
        )
        embedded = self.embedding(self.dropped[0](described, training=training))
        there = ops.reshape(area_px > 0, (-1, slices))
        return there, ops.reshape(embedded, (-1, slices, embedded.shape[-1]))


def build_network(config: SequenceConfig, seed: int) -> SequenceNetwork:
    """A network with new weights, the same for the same seed."""
    keras.utils.set_random_seed(seed)
    network = SequenceNetwork(config, seed)
    network(np.ones((1, 2, config.input.size_px, config.input.size_px, CHANNELS), np.float32))
    return network
