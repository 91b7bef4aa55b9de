"""The loop that fits a small network on batches by number, and goes on after it was killed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any  # keras is untyped

import numpy as np
from tqdm import tqdm

from training.fitting.averaging import WeightAverage
from training.fitting.checkpoints import Checkpoint, TrainingState
from training.fitting.loading import batches_ahead


def fit_batches(
    network: Any,
    batches: Callable[[int], tuple[Any, ...]],
    steps: int,
    *,
    ema_momentum: float,
    checkpoint: Checkpoint | None,
    checkpoint_steps: int,
    label: str,
) -> None:
    """Train a compiled `network` on batches 0 … `steps` - 1, those left out that the checkpoint has behind it, and end
    with the average of its weights. A batch is what `train_on_batch` takes. Raises OtherRun for another run's
    checkpoint."""
    state = TrainingState(network, network.optimizer, WeightAverage(network, ema_momentum))
    history = checkpoint.restore(state) if checkpoint else []
    first = len(history)
    with tqdm(total=steps, initial=first, desc=label, unit="step", mininterval=5) as bar:
        for step, batch in enumerate(batches_ahead(batches, first, steps), first):
            losses = network.train_on_batch(*batch, return_dict=True)
            network.reset_metrics()
            state.average.update(step)
            history.append({name: float(np.asarray(value)) for name, value in losses.items()})
            if checkpoint and ((step + 1) % checkpoint_steps == 0 or step + 1 == steps):
                checkpoint.save(state, history)
            bar.set_postfix({k: f"{v:.3f}" for k, v in history[-1].items()}, refresh=False)
            bar.update()
    state.average.apply()
