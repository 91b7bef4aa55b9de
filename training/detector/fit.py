"""Trains the candidate filter: a base on patches, then a filter that dwells on the false candidates that fool it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar  # keras is untyped

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray
from tqdm import tqdm

from app.imaging.ct import FloatImage
from app.imaging.patches import PatchSpec
from training.data.nodules import Dataset
from training.data.scans import Scan, false_candidates
from training.detector.config import DetectorConfig, FilterConfig
from training.detector.samples import (
    DetectorBatches,
    Negatives,
    PatchBlob,
    ScanBlob,
    patch_blob_view,
    patch_blobs,
    scan_blob_view,
    scan_blobs,
)
from training.fitting.averaging import WeightAverage
from training.fitting.checkpoints import Checkpoint, TrainingState
from training.fitting.loading import batches_ahead

T = TypeVar("T", PatchBlob, ScanBlob)

PREDICT_BATCH: Final = 256
CENTRE_CELLS: Final = 2  # on each side of the middle: what is asked about lies there, a neighbour does not


@dataclass(frozen=True, slots=True, eq=False)
class TrainingSet:
    """What one filter learns from."""

    dataset: Dataset
    patch_blobs: tuple[PatchBlob, ...]
    scan_blobs: Mapping[str, tuple[ScanBlob, ...]]


def build_filter(config: DetectorConfig) -> Any:
    """A Keras model from `hu` (N, size, size, 1) in HU to logits (N, 1)."""
    keras.utils.set_random_seed(config.seed)
    size, (low, high) = config.input.size_px, config.input.clip_hu
    hu = keras.Input((size, size, 1), name="hu")
    maps = ops.subtract(ops.multiply(ops.clip(hu, low, high), 2 / (high - low)), (high + low) / (high - low))
    first, second, third, fourth = config.learning.channels
    maps = layers.MaxPooling2D()(_block(maps, first))
    maps = layers.MaxPooling2D()(_block(maps, second))
    maps = _block(_block(maps, third), fourth)
    margin = maps.shape[1] // 2 - CENTRE_CELLS
    centre = layers.GlobalAveragePooling2D()(layers.Cropping2D(margin)(maps))
    pooled = layers.Concatenate()([layers.GlobalAveragePooling2D()(maps), layers.GlobalMaxPooling2D()(maps), centre])
    return keras.Model(hu, layers.Dense(1)(layers.Dropout(config.learning.dropout, seed=config.seed)(pooled)))


def _block(tensor: Any, channels: int) -> Any:
    tensor = layers.Conv2D(channels, 3, padding="same", use_bias=False)(tensor)
    return layers.ReLU()(layers.BatchNormalization(momentum=0.97)(tensor))


def training_set(
    dataset: Dataset, scans: Mapping[str, Scan], wanted: FilterConfig, config: DetectorConfig
) -> TrainingSet:
    """The folds and scans that a filter may see."""
    seen = [fold for fold in dataset.folds if fold not in wanted.held_out_folds]
    inside = Dataset(
        tuple(n for n in dataset.nodules if n.fold in seen),
        tuple(c for c in dataset.candidates if c.fold in seen),
        dataset.digests,
    )
    clearance, spec = config.mining.clearance_mm, config.input.patch_spec
    return TrainingSet(
        inside,
        tuple(b for n in inside.nodules for b in patch_blobs(n, clearance, spec)),
        {s: scan_blobs(scans[s].volume, false_candidates(scans[s], clearance)) for s in wanted.hard_negatives},
    )


def train_base(data: TrainingSet, config: DetectorConfig, checkpoint: Checkpoint | None = None) -> Any:
    """Fit a new network on patches alone; the same data, configuration and machine give the same weights, however
    often the run was killed, where it has a `checkpoint`. Raises OtherRun when that is of another run."""
    network = build_filter(config)
    batches = DetectorBatches(data.dataset, Negatives(data.patch_blobs), Negatives(()), config)
    _fit(network, batches, config, range(config.learning.steps[0]), config.learning.learning_rate, "base", checkpoint)
    return network


def train_filter(
    base: Any, data: TrainingSet, config: DetectorConfig, label: str = "filter", checkpoint: Checkpoint | None = None
) -> Any:
    """Go on from `base`, which stays as it is, with the scans' false candidates and those that fool it most.

    With a `checkpoint` as `train_base`.
    """
    network = build_filter(config)
    network.set_weights(base.get_weights())
    scans = data.scan_blobs.values()
    in_patches = Negatives(data.patch_blobs, _hardest(network, data.patch_blobs, patch_blob_view, config))
    in_scans = Negatives(
        [blob for blobs in scans for blob in blobs],
        [blob for blobs in scans for blob in _hardest(network, blobs, scan_blob_view, config)],
    )
    first, steps = config.learning.steps
    batches = DetectorBatches(data.dataset, in_patches, in_scans, config)
    numbers = range(first, first + steps)
    _fit(network, batches, config, numbers, config.learning.filter_learning_rate, label, checkpoint)
    return network


def _hardest(
    network: Any, blobs: Sequence[T], view: Callable[[T, PatchSpec], FloatImage], config: DetectorConfig
) -> list[T]:
    """The configured fraction of blobs that `network` takes for nodules most."""
    if not blobs:
        return []
    scores = logits(network, np.stack([view(b, config.input.patch_spec) for b in blobs]))
    count = max(1, round(config.mining.hardest * len(blobs)))
    return [blobs[k] for k in np.argsort(-scores, kind="stable")[:count].tolist()]


def compile_filter(network: Any, config: DetectorConfig, steps: int, learning_rate: float) -> None:
    """Make it ready for its first step; the optimiser's variables exist, so that they can be restored."""
    learning, warmup = config.learning, steps // 20
    schedule = keras.optimizers.schedules.CosineDecay(
        learning_rate / 20, max(1, steps - warmup), warmup_target=learning_rate, warmup_steps=warmup
    )
    network.compile(
        keras.optimizers.AdamW(schedule, weight_decay=learning.weight_decay, clipnorm=5.0),
        keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=learning.label_smoothing),
        jit_compile=False,  # XLA halves the speed on CPU
        run_eagerly=not learning.compiled,
    )
    network.optimizer.build(network.trainable_variables)


def logits(network: Any, hu: FloatImage) -> NDArray[np.float32]:
    """Logits (N,) of float32 (N, size, size) patches in HU."""
    chunks = np.split(hu[..., None], range(PREDICT_BATCH, len(hu), PREDICT_BATCH))
    said = [ops.convert_to_numpy(network(chunk, training=False))[:, 0] for chunk in chunks if len(chunk)]
    return np.concatenate(said) if said else np.zeros(0, np.float32)


def _fit(
    network: Any,
    source: DetectorBatches,
    config: DetectorConfig,
    numbers: range,
    learning_rate: float,
    label: str,
    checkpoint: Checkpoint | None,
) -> None:
    """Train on the batches of these `numbers`, those left out that the checkpoint has behind it."""
    compile_filter(network, config, len(numbers), learning_rate)
    state = TrainingState(network, network.optimizer, WeightAverage(network, config.learning.ema_momentum))
    history = checkpoint.restore(state) if checkpoint else []
    first, total = len(history), len(numbers)
    batches = batches_ahead(source, numbers.start + first, numbers.stop)
    with tqdm(total=total, initial=first, desc=label, unit="step", mininterval=5) as bar:
        for step, (hu, target) in enumerate(batches, first):
            loss = float(np.mean(network.train_on_batch(hu, target)))
            network.reset_metrics()
            state.average.update(step)
            history.append({"loss": loss})
            if checkpoint and ((step + 1) % config.checkpoint_steps == 0 or step + 1 == total):
                checkpoint.save(state, history)
            bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
            bar.update()
    state.average.apply()
