"""Fits the network: losses, schedule and the loop with its progress bar, log and checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Final, get_args  # keras is untyped

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray
from tqdm import tqdm

from training.data.nodules import Dataset
from training.fitting.architectures import FEATURES, MALIGNANCY_LAYER, build_network, trained_part
from training.fitting.averaging import WeightAverage
from training.fitting.batches import Batch, BatchSource
from training.fitting.checkpoints import Checkpoint, TrainingState
from training.fitting.config import Config, Trait
from training.fitting.device import prepare_device
from training.fitting.history import LEARNING_RATE, SPEED, History, Row, step_log
from training.fitting.identity import run_facts
from training.fitting.loading import batches_ahead

PREDICT_BATCH = 256
TRAITS: Final[tuple[Trait, ...]] = get_args(Trait)  # in the order of TRAIT_SCALES


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
    """A fitted Keras model and the log of every step: losses by output, learning rate, images per second."""

    network: Any
    history: tuple[Row, ...]


def train(
    dataset: Dataset, config: Config, *, label: str = "train", folder: Path | None = None, restart: bool = False
) -> TrainedNetwork:
    """Fit a new network on all of `dataset`. The same data, configuration, code and machine give the same weights.

    With a `folder`, the log and checkpoints go there, and a run that was killed goes on from its last checkpoint to
    the same weights as if it had not been; `restart` begins anew. Raises OtherRun when the folder holds another run.
    """
    prepare_device()
    network = build_network(config)
    model = _compiled(network, config)
    state = TrainingState(network, model.optimizer, WeightAverage(network, config.optimiser.ema_momentum))
    checkpoint = _checkpoint(folder, dataset, config, restart=restart)
    history = checkpoint.restore(state) if checkpoint else []
    _fit(model, state, history, BatchSource(dataset, config), config, checkpoint, label)
    state.average.apply()
    return TrainedNetwork(network, tuple(history))


def _fit(
    model: Any,
    state: TrainingState,
    history: History,
    source: BatchSource,
    config: Config,
    checkpoint: Checkpoint | None,
    label: str,
) -> None:
    """Append to `history` until it holds every step."""
    first, steps, every = len(history), config.optimiser.steps, config.run.checkpoint_steps
    batches = batches_ahead(source, first, steps, config.run.loader_processes)
    with (
        step_log(checkpoint.folder if checkpoint else None, history) as log,
        tqdm(total=steps, initial=first, desc=label, unit="step", dynamic_ncols=True, mininterval=2) as bar,
    ):
        schedule, started = _schedule(config), perf_counter()
        for step, batch in enumerate(batches, first):
            losses = step_once(model, batch)
            state.average.update(step)
            finished = perf_counter()
            rate = float(ops.convert_to_numpy(schedule(step)))
            history.append({**losses, LEARNING_RATE: rate, SPEED: len(batch.hu) / (finished - started)})
            started = finished
            log.add(history[-1])
            if checkpoint and ((step + 1) % every == 0 or step + 1 == steps):
                checkpoint.save(state, history)
            bar.set_postfix({k.removesuffix("_loss"): f"{v:.3f}" for k, v in losses.items()}, refresh=False)
            bar.update()


def step_once(model: Any, batch: Batch) -> dict[str, float]:
    """Train `model` on one batch; its losses by output."""
    losses = model.train_on_batch(batch.hu, batch.targets, batch.weights, return_dict=True)
    model.reset_metrics()
    return {name: float(value) for name, value in losses.items()}


def fitting_model(config: Config) -> Any:
    """A new network as `step_once` takes it."""
    return _compiled(build_network(config), config)


def _compiled(network: Any, config: Config) -> Any:
    """The trained part, ready for its first step; the optimiser's variables exist, so that they can be restored."""
    model = trained_part(network)
    model.compile(
        optimizer=keras.optimizers.AdamW(_schedule(config), weight_decay=config.optimiser.weight_decay, clipnorm=5.0),
        loss={
            "malignancy": _soft_loss,
            "nodule": _soft_loss,
            "traits": _traits_loss(config.optimiser.trait_weights),
            "mask": _mask_loss,
        },
        loss_weights=config.optimiser.loss_weights,
        jit_compile=False,  # XLA halves the speed on CPU
        run_eagerly=not config.optimiser.compiled,
    )
    model.optimizer.build(model.trainable_variables)
    return model


def _checkpoint(folder: Path | None, dataset: Dataset, config: Config, *, restart: bool) -> Checkpoint | None:
    if folder is None:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = Checkpoint(folder, run_facts(dataset, config))
    if restart:
        checkpoint.discard()
    return checkpoint


def predict(network: Any, hu: NDArray[np.float32]) -> Logits:
    """Run float32 (N, size, size) patches in HU through the network."""
    parts = [
        {name: ops.convert_to_numpy(value) for name, value in network(chunk[..., None], training=False).items()}
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


def _traits_loss(weights: Mapping[Trait, float]) -> Callable[[Any, Any], Any]:
    """`_soft_loss` with a weight for each trait, their mean 1."""
    given = np.array([weights.get(trait, 1.0) for trait in TRAITS], np.float32)
    shares = given / given.mean()

    def loss(target: Any, logit: Any) -> Any:
        entropy = ops.binary_crossentropy(target, logit, from_logits=True)
        return ops.mean(ops.multiply(shares, entropy), axis=-1)

    return loss


def _mask_loss(target: Any, logit: Any) -> Any:
    """Cross-entropy plus 1 - soft Dice (N,): the former for calibration, the latter for small nodules."""
    axes = (1, 2, 3)
    entropy = ops.mean(ops.binary_crossentropy(target, logit, from_logits=True), axis=axes)
    probability = ops.sigmoid(logit)
    overlap = ops.sum(probability * target, axis=axes)
    total = ops.sum(probability, axis=axes) + ops.sum(target, axis=axes)
    return entropy + 1 - (2 * overlap + 1) / (total + 1)
