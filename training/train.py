"""Fits the network: losses, schedule and the loop with its progress bar."""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any  # keras is untyped

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray
from tqdm import tqdm

from training.architectures import FEATURES, MALIGNANCY_LAYER, build_network, trained_part
from training.batches import Batch, BatchSource
from training.config import Config
from training.datasets import Dataset

PREDICT_BATCH = 256


@dataclass(frozen=True, slots=True, eq=False)
class Logits:
    """What the network says about N patches, before calibration. `local` is the malignancy logit per place."""

    malignancy: NDArray[np.float32]  # (N,)
    nodule: NDArray[np.float32]  # (N,)
    traits: NDArray[np.float32]  # (N, 7)
    mask: NDArray[np.float32]  # (N, size, size)
    embedding: NDArray[np.float32]  # (N, D)
    local: NDArray[np.float32]  # (N, h, w), mean over the map = malignancy


@dataclass(frozen=True, slots=True, eq=False)
class TrainedNetwork:
    """A fitted Keras model and the loss of every step, by output."""

    network: Any
    history: tuple[dict[str, float], ...]


def train(dataset: Dataset, config: Config, *, label: str = "train") -> TrainedNetwork:
    """Fit a new network on all of `dataset`. The same data, configuration and machine give the same weights."""
    network = build_network(config)
    model = trained_part(network)
    model.compile(
        optimizer=keras.optimizers.AdamW(_schedule(config), weight_decay=config.optimiser.weight_decay, clipnorm=5.0),
        loss={"malignancy": _soft_loss, "nodule": _soft_loss, "traits": _soft_loss, "mask": _mask_loss},
        loss_weights=config.optimiser.loss_weights,
        jit_compile=False,  # XLA halves the speed on CPU
        run_eagerly=not config.optimiser.compiled,
    )
    history = []
    with tqdm(total=config.optimiser.steps, desc=label, unit="step", dynamic_ncols=True, mininterval=2) as bar:
        for batch in _ahead(BatchSource(dataset, config), config.optimiser.steps):
            losses = model.train_on_batch(batch.hu, batch.targets, batch.weights, return_dict=True)
            model.reset_metrics()
            history.append({name: float(value) for name, value in losses.items()})
            bar.set_postfix({k.removesuffix("_loss"): f"{v:.3f}" for k, v in history[-1].items()}, refresh=False)
            bar.update()
    return TrainedNetwork(network, tuple(history))


def predict(network: Any, hu: NDArray[np.float32]) -> Logits:
    """Run float32 (N, size, size) patches in HU through the network."""
    parts = [
        {name: np.asarray(value) for name, value in network(chunk[..., None], training=False).items()}
        for chunk in np.split(hu, range(PREDICT_BATCH, len(hu), PREDICT_BATCH))
    ]
    out = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    kernel, bias = (np.asarray(w) for w in network.get_layer(MALIGNANCY_LAYER).get_weights())
    return Logits(
        malignancy=out["malignancy"][:, 0],
        nodule=out["nodule"][:, 0],
        traits=out["traits"],
        mask=out["mask"][..., 0],
        embedding=out[FEATURES].mean(axis=(1, 2)),
        local=(out[FEATURES] @ kernel + bias)[..., 0],
    )


def _ahead(source: BatchSource, steps: int) -> Iterator[Batch]:
    """Batches in order, the next one prepared while the network works on this one."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(source, 0)
        for number in range(steps):
            batch = coming.result()
            if number + 1 < steps:
                coming = pool.submit(source, number + 1)
            yield batch


def _schedule(config: Config) -> Any:
    optimiser = config.optimiser
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=optimiser.learning_rate / 20,
        decay_steps=optimiser.steps - optimiser.warmup_steps,
        warmup_target=optimiser.learning_rate,
        warmup_steps=optimiser.warmup_steps,
    )


def _soft_loss(target: Any, logit: Any) -> Any:
    """Cross-entropy (N,) between ratings mapped to 0-1 and a logit: disagreement stays in the target."""
    entropy = ops.binary_crossentropy(target, logit, from_logits=True)
    return ops.mean(entropy, axis=-1)


def _mask_loss(target: Any, logit: Any) -> Any:
    """Cross-entropy plus 1 - soft Dice (N,): the former for calibration, the latter for small nodules."""
    axes = (1, 2, 3)
    entropy = ops.mean(ops.binary_crossentropy(target, logit, from_logits=True), axis=axes)
    probability = ops.sigmoid(logit)
    overlap = ops.sum(probability * target, axis=axes)
    total = ops.sum(probability, axis=axes) + ops.sum(target, axis=axes)
    return entropy + 1 - (2 * overlap + 1) / (total + 1)


def learning_summary(history: tuple[dict[str, float], ...]) -> dict[str, float]:
    """Mean losses of the last tenth of a run."""
    tail = history[-max(1, math.ceil(len(history) / 10)) :]
    return {name: float(np.mean([step[name] for step in tail])) for name in tail[0]}
