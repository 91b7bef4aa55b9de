"""Trains the networks of a report tagger."""

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
from training.text.config import TaggerConfig
from training.text.network import build_tagger
from training.text.samples import Floats, TaggerBatches, Windows

PREDICT_BATCH = 16


def train_member(
    windows: Windows, vocabulary_size: int, config: TaggerConfig, member: int, checkpoint: Checkpoint | None = None
) -> Any:
    """Fit one network; the same data, configuration and machine give the same weights, however often the run was
    killed, where it has a `checkpoint`. Raises OtherRun when that is of another run."""
    seed = config.seed + 10 * member  # the seeds of a network's layers lie close to its own
    network = build_tagger(vocabulary_size, config, seed)
    batches = TaggerBatches(windows, config, seed)
    _compile(network, config, batches.total)
    state = TrainingState(network, network.optimizer, WeightAverage(network, config.learning.ema_momentum))
    history = checkpoint.restore(state) if checkpoint else []
    first, total = len(history), batches.total
    with tqdm(total=total, initial=first, desc=f"member {member}", unit="step", mininterval=5) as bar:
        for step, (ids, targets, weights) in enumerate(batches_ahead(batches, first, total), first):
            loss = float(np.mean(network.train_on_batch(ids, targets, weights)))
            network.reset_metrics()
            state.average.update(step)
            history.append({"loss": loss})
            if checkpoint and ((step + 1) % config.checkpoint_steps == 0 or step + 1 == total):
                checkpoint.save(state, history)
            bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
            bar.update()
    state.average.apply()
    return network


def probabilities(members: Sequence[Any], ids: Floats) -> Floats:
    """The mean over the networks of their probabilities (N, sentences, labels) for ids (N, sentences, tokens, 1)."""
    chunks = np.split(ids, range(PREDICT_BATCH, len(ids), PREDICT_BATCH))
    return np.concatenate([ops.convert_to_numpy(mean_probability(members, chunk)) for chunk in chunks])


def mean_probability(members: Sequence[Any], ids: Any) -> Any:
    """The same as a tensor."""
    said = [ops.sigmoid(network(ids, training=False)) for network in members]
    return sum(said[1:], said[0]) / len(said)


def _compile(network: Any, config: TaggerConfig, steps: int) -> None:
    """Make it ready for its first step; the optimiser's variables exist, so that they can be restored."""
    learning = config.learning
    schedule = keras.optimizers.schedules.CosineDecay(learning.learning_rate, max(1, steps))
    network.compile(
        keras.optimizers.AdamW(schedule, weight_decay=learning.weight_decay, clipnorm=5.0),
        keras.losses.BinaryCrossentropy(from_logits=True),
        jit_compile=False,
        run_eagerly=not learning.compiled,
    )
    network.optimizer.build(network.trainable_variables)
