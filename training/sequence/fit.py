"""Trains a network over slices, and asks one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any  # keras is untyped

import keras
import numpy as np
from keras import ops

from training.fitting.checkpoints import Checkpoint
from training.fitting.fit_loop import fit_batches
from training.sequence.config import SequenceConfig
from training.sequence.network import SEQUENCE, SLICES, build_network
from training.sequence.samples import Floats, Sample, StackBatches

PREDICT_BATCH = 32


def train_network(
    samples: Sequence[Sample], config: SequenceConfig, label: str, checkpoint: Checkpoint | None = None
) -> Any:
    """Fit one network; the same data, configuration and machine give the same weights, however often the run was
    killed, where it has a `checkpoint`. Raises OtherRun when that is of another run."""
    network = build_network(config, config.seed)
    batches = StackBatches(samples, config, config.seed)
    _compile(network, config, batches.total)
    fit_batches(
        network,
        batches,
        batches.total,
        ema_momentum=config.learning.ema_momentum,
        checkpoint=checkpoint,
        checkpoint_steps=config.checkpoint_steps,
        label=label,
    )
    return network


def logits(network: Any, stacks: Floats) -> tuple[Floats, Floats]:
    """Of stacks (N, slices, size, size, 3): logits (N, slices) of each slice by itself, and (N,) of all."""
    chunks = np.split(stacks, range(PREDICT_BATCH, len(stacks), PREDICT_BATCH))
    said = [network(chunk, training=False) for chunk in chunks]
    alone, together = (
        np.concatenate([ops.convert_to_numpy(each[name])[..., 0] for each in said]) for name in (SLICES, SEQUENCE)
    )
    return alone, together


def _compile(network: Any, config: SequenceConfig, steps: int) -> None:
    """Make it ready for its first step; the optimiser's variables exist, so that they can be restored."""
    learning = config.learning
    schedule = keras.optimizers.schedules.CosineDecay(learning.learning_rate, max(1, steps))
    network.compile(
        keras.optimizers.AdamW(schedule, weight_decay=learning.weight_decay, clipnorm=5.0),
        {name: keras.losses.BinaryCrossentropy(from_logits=True) for name in (SLICES, SEQUENCE)},
        jit_compile=False,
        run_eagerly=not learning.compiled,
    )
    network.optimizer.build(network.trainable_variables)
