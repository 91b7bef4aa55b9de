"""Every number that the recurrent network's training depends on, read from TOML into frozen objects."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from app.inference.sequence import StackContract
from training.fitting.config import Positive, Range, Share

Whole = Annotated[int, Field(ge=1)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StackConfig(_Frozen):
    """What the network sees of a nodule; `clip_hu` is applied inside the graph (`app.inference.sequence`)."""

    slices: Whole
    size_px: Whole
    spacing_mm: Positive
    clip_hu: Range
    inset_px: Annotated[float, Field(ge=0)]

    @property
    def contract(self) -> StackContract:
        """The same as the manifest states it."""
        return StackContract(**self.model_dump())


class NetworkConfig(_Frozen):
    """Channels of the convolutions, each but the first at half the resolution; width of a slice's embedding and of each
    direction of the GRU over them."""

    channels: tuple[int, ...]
    embedding: Whole
    over_slices: Whole
    dropout: Share


class AugmentConfig(_Frozen):
    """Every stack is turned, mirrored and read from either end at random. `shift_hu` moves all of it, `noise_hu` is
    the deviation of a pixel, and `drop` the share of slices left out."""

    shift_hu: Annotated[float, Field(ge=0)]
    noise_hu: Annotated[float, Field(ge=0)]
    drop: Share


class LearningConfig(_Frozen):
    """AdamW with a cosine decay over all steps; `compiled` traces the step and then runs it several times as fast."""

    epochs: Whole
    batch: Whole
    learning_rate: Positive
    weight_decay: Annotated[float, Field(ge=0)]
    ema_momentum: Annotated[float, Field(ge=0, lt=1)]
    compiled: bool = True


class EvaluationConfig(_Frozen):
    """Resamples of patients for each interval, how far apart the diameters of a size-matched pair may be, bins of the
    calibration error, and C of the regression on area profiles."""

    resamples: Whole
    size_match_mm: Positive
    ece_bins: Whole
    inverse_strength: Positive


class SequenceConfig(_Frozen):
    """The recipe. `checkpoint_steps` between two checkpoints change no result."""

    seed: int
    input: StackConfig
    network: NetworkConfig
    augment: AugmentConfig
    learning: LearningConfig
    evaluation: EvaluationConfig
    checkpoint_steps: Whole = 50


def load_config(path: Path) -> SequenceConfig:
    """Read a TOML file; raises pydantic.ValidationError naming each field that does not fit, OSError without it."""
    return SequenceConfig.model_validate(tomllib.loads(path.read_text("utf-8")))
