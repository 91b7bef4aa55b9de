"""Every number that a training run depends on, read from TOML into frozen objects."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.imaging.patches import PatchSpec
from training.data.false_findings import TaughtScan

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Range = tuple[float, float]
Trait = Literal["subtlety", "calcification", "sphericity", "margin", "lobulation", "spiculation", "texture"]
Table = dict[str, Any]  # what TOML holds, before it is checked


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class InputConfig(_Frozen):
    """The patch the network sees; `clip_hu` is applied inside the graph."""

    size_px: Annotated[int, Field(ge=16, le=256)]
    spacing_mm: Positive
    clip_hu: Range

    @property
    def patch_spec(self) -> PatchSpec:
        """The patch that fills this input."""
        return PatchSpec(self.size_px, self.spacing_mm)


class NetworkConfig(_Frozen):
    """Channels at full, half, quarter and eighth resolution, of the pooled features and of the mask decoder."""

    channels: tuple[int, int, int, int]
    features: Annotated[int, Field(ge=1)]
    decoder: tuple[int, int]
    dropout: Share


class BatchConfig(_Frozen):
    """How many samples of each kind make one batch."""

    lidc_nodules: Annotated[int, Field(ge=1)]
    lidc_negatives: Count
    luna_nodules: Count
    luna_negatives: Count
    synthetic: Count
    scan_negatives: Count = 0

    @property
    def size(self) -> int:
        """Samples in one batch."""
        return sum(self.model_dump().values())


class AugmentConfig(_Frozen):
    """Random changes of a training sample. A pair is a uniform range; a single number a probability or a limit."""

    jitter_mm: Annotated[float, Field(ge=0)]
    jitter_of_radius: Annotated[float, Field(ge=0)]
    zoom: Share
    luna_zoom: Share
    rotate: Share
    crop: Share
    crop_margin_px: Annotated[int, Field(ge=1)]
    jpeg: Share
    jpeg_quality: tuple[int, int]
    blur: Share
    blur_sigma_px: Range
    noise: Share
    noise_hu: Range
    shift_hu: Annotated[float, Field(ge=0)]
    negative_clearance_mm: Positive
    negative_reach_mm: Positive
    negative_on_structure: Share


class OptimiserConfig(_Frozen):
    """AdamW with a linear warm-up and a cosine decay to zero; `loss_weights` by output.

    `compiled` traces the step once (many seconds) and then runs it several times as fast. `ema_momentum` above 0 ends
    with an exponential moving average of the weights in their place. A place that is no nodule teaches `malignancy`
    0 with the weight `negatives_malignant`, where one reader's nodule has 1. `trait_weights` are by trait, 1 where
    none is given.
    """

    steps: Annotated[int, Field(ge=1)]
    warmup_steps: Count
    learning_rate: Positive
    weight_decay: Annotated[float, Field(ge=0)]
    loss_weights: dict[str, float]
    reader_exponent: Annotated[float, Field(ge=0)]
    compiled: bool
    ema_momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0
    negatives_malignant: Annotated[float, Field(ge=0)] = 0.0
    trait_weights: dict[Trait, Positive] = {}


class CalibrationConfig(_Frozen):
    """What the held-out folds decide: operating point, conformal sets, nodule and out-of-distribution thresholds."""

    sensitivity: Share
    coverage: Share
    nodules_kept: Share
    in_distribution_kept: Share
    shrinkage: Share


class EvaluationConfig(_Frozen):
    """How figures are measured; nodules with fewer readers are in the secondary figures only."""

    min_readers: Annotated[int, Field(ge=1)]
    resamples: Annotated[int, Field(ge=10)]
    size_match_mm: Positive
    ece_bins: Annotated[int, Field(ge=2)]


class RunConfig(_Frozen):
    """How the work is done; nothing here changes its result.

    `checkpoint_steps` between two checkpoints; `loader_processes` prepare batches, a thread does where there are none.
    """

    checkpoint_steps: Annotated[int, Field(ge=1)] = 50
    loader_processes: Count = 0


class Config(_Frozen):
    """One training run."""

    name: str
    seed: int
    input: InputConfig
    network: NetworkConfig
    batch: BatchConfig
    augment: AugmentConfig
    optimiser: OptimiserConfig
    calibration: CalibrationConfig
    evaluation: EvaluationConfig
    scans: dict[str, TaughtScan] = {}
    run: RunConfig = RunConfig()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.input.size_px % 8:
            raise ValueError(f"input.size_px must be a multiple of 8, not {self.input.size_px}")
        if self.optimiser.warmup_steps >= self.optimiser.steps:
            raise ValueError("optimiser.warmup_steps must be smaller than optimiser.steps")
        return self


def load_config(path: Path) -> Config:
    """Read a TOML file, layered over the file that its `extends` names, relative to itself, if it names one.

    Raises pydantic.ValidationError naming each field that is missing, unknown or out of range, ValueError when
    files extend each other in a circle, and OSError when one cannot be read.
    """
    return Config.model_validate(_layers(path, ()))


def _layers(path: Path, above: tuple[Path, ...]) -> Table:
    if path.resolve() in above:
        raise ValueError(f"{path.name} extends itself: {' -> '.join(p.name for p in (*above, path))}")
    own: Table = tomllib.loads(path.read_text("utf-8"))
    base = own.pop("extends", None)
    return own if base is None else _over(_layers(path.parent / base, (*above, path.resolve())), own)


def _over(base: Table, own: Table) -> Table:
    """`own` over `base`: tables join key by key, everything else is replaced as a whole."""
    joined = dict(base)
    for key, value in own.items():
        under = base.get(key)
        joined[key] = _over(under, value) if isinstance(value, dict) and isinstance(under, dict) else value
    return joined
