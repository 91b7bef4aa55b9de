"""Trains a network over slices, and asks one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any  # keras is untyped

import keras
import numpy as np
from keras import ops
from tqdm import tqdm

from training.fitting.averaging import WeightAverage
from training.fitting.checkpoints import Checkpoint, TrainingState
from training.fitting.loading import batches_ahead
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
    state = TrainingState(network, network.optimizer, WeightAverage(network, config.learning.ema_momentum))
    history = checkpoint.restore(state) if checkpoint else []
    first, total = len(history), batches.total
    with tqdm(total=total, initial=first, desc=label, unit="step", mininterval=5) as bar:
        for step, (stacks, targets, weights) in enumerate(batches_ahead(batches, first, total), first):
            losses = network.train_on_batch(stacks, targets, weights, return_dict=True)
            network.reset_metrics()
            state.average.update(step)
            history.append({name: float(np.asarray(value)) for name, value in losses.items()})
            if checkpoint and ((step + 1) % config.checkpoint_steps == 0 or step + 1 == total):
                checkpoint.save(state, history)
            bar.set_postfix({k: f"{v:.3f}" for k, v in history[-1].items()}, refresh=False)
            bar.update()
    state.average.apply()
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
