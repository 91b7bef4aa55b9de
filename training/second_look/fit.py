"""The second look's network and how it is fitted."""

from __future__ import annotations

from typing import Any, Final  # keras is untyped

import keras
from keras import layers, ops

from app.inference.suspicion import OUTPUTS
from training.fitting.checkpoints import Checkpoint
from training.fitting.fit_loop import fit_batches
from training.second_look.config import LookConfig
from training.second_look.pools import TrainingSet
from training.second_look.samples import LookBatches

SOFT_TISSUE_HU: Final = (-150.0, 300.0)  # where fat, tissue and iodine differ
STEM_PX: Final = 5
CENTRE_CELLS: Final = 2  # on each side of the middle: what is asked about lies there, a neighbour does not
FIELDS: Final = ("near", "wide")


def build_network(config: LookConfig) -> Any:
    """A Keras model from `hu` (N, size, size, 2) in HU to `suspicious` and `nodule`, logits (N, 1) each."""
    keras.utils.set_random_seed(config.seed)
    size = config.input.size_px
    hu = keras.Input((size, size, len(FIELDS)), name="hu")
    pooled = [place for k in range(len(FIELDS)) for place in _tower(hu[..., k : k + 1], config)]
    dropped = layers.Dropout(config.learning.dropout, seed=config.seed)(layers.Concatenate()(pooled))
    return keras.Model(hu, {name: layers.Dense(1, name=name)(dropped) for name in OUTPUTS}, name="second_look")


def _tower(field: Any, config: LookConfig) -> list[Any]:
    """What one field shows: everywhere on average, anywhere at most, and in the middle."""
    first, second, third, fourth = config.learning.channels
    maps = layers.Concatenate()([_scaled(field, window) for window in (config.input.clip_hu, SOFT_TISSUE_HU)])
    # Whole pixels would double the cost of a step; a nodule of 6 mm is nine of them.
    maps = _block(maps, first, kernel=STEM_PX, stride=2)
    maps = layers.MaxPooling2D()(_block(maps, second))
    maps = _block(_block(maps, third), fourth)
    centre = layers.Cropping2D(max(0, maps.shape[1] // 2 - CENTRE_CELLS))(maps)
    return [layers.GlobalAveragePooling2D()(maps), layers.GlobalMaxPooling2D()(maps),
            layers.GlobalAveragePooling2D()(centre)]  # fmt: skip


def _scaled(hu: Any, window_hu: tuple[float, float]) -> Any:
    low, high = window_hu
    return ops.subtract(ops.multiply(ops.clip(hu, low, high), 2 / (high - low)), (high + low) / (high - low))


def _block(tensor: Any, channels: int, *, kernel: int = 3, stride: int = 1) -> Any:
    tensor = layers.Conv2D(channels, kernel, strides=stride, padding="same", use_bias=False)(tensor)
    # Momentum 0.97: a run is too short for the default of 0.99 to forget its start.
    return layers.ReLU()(layers.BatchNormalization(momentum=0.97)(tensor))


def train_network(
    seen: TrainingSet, config: LookConfig, label: str = "second look", checkpoint: Checkpoint | None = None
) -> Any:
    """Fit a new network; the same data, configuration and machine give the same weights, however often the run was
    killed, where it has a `checkpoint`. Raises OtherRun when that is of another run."""
    network = build_network(config)
    _compile(network, config)
    fit_batches(
        network,
        LookBatches(seen.pools, config),
        config.learning.steps,
        ema_momentum=config.learning.ema_momentum,
        checkpoint=checkpoint,
        checkpoint_steps=config.checkpoint_steps,
        label=label,
    )
    return network


def _compile(network: Any, config: LookConfig) -> None:
    """Make it ready for its first step; the optimiser's variables exist, so that they can be restored."""
    learning = config.learning
    warmup = learning.steps // 20
    schedule = keras.optimizers.schedules.CosineDecay(
        learning.learning_rate / 20,
        max(1, learning.steps - warmup),
        warmup_target=learning.learning_rate,
        warmup_steps=warmup,
    )
    loss = keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=learning.label_smoothing)
    network.compile(
        keras.optimizers.AdamW(schedule, weight_decay=learning.weight_decay, clipnorm=5.0),
        dict.fromkeys(OUTPUTS, loss),
        loss_weights={"suspicious": 1.0, "nodule": learning.nodule},
        jit_compile=False,  # XLA halves the speed on CPU
        run_eagerly=not learning.compiled,
    )
    network.optimizer.build(network.trainable_variables)
