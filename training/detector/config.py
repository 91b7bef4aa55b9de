"""Every number that the candidate filter's training depends on, read from TOML into frozen objects."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from training.data.scans import ScanConfig
from training.fitting.config import AugmentConfig, Count, InputConfig, Positive, Range, Share


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FilterConfig(_Frozen):
    """One filter: the folds it never sees and the scans whose false candidates teach it."""

    held_out_folds: tuple[int, ...]
    hard_negatives: tuple[str, ...]


class SourcesConfig(_Frozen):
    """Samples of each kind in one batch. Both classes come from both patch sets, or the source tells the class."""

    lidc_nodules: Annotated[int, Field(ge=1)]
    luna_nodules: Count
    lidc_blobs: Count
    lidc_beside: Count
    luna_negatives: Count
    scan_blobs: Count
    generated: Count

    @property
    def size(self) -> int:
        """Samples in one batch."""
        return sum(self.model_dump().values())


class ScannerConfig(_Frozen):
    """Changes that only whole scans need: thick slices seen from the side, and a sharpening kernel."""

    slab: Share
    slab_mm: Range
    sharpen: Share
    sharpen_amount: Range


class PositivesConfig(_Frozen):
    """How often a nodule is drawn: by its readers (1, 2, 3, 4 and more) and below `small_mm` in diameter less.

    What one reader in four called a nodule, and what is as small as a vessel, teaches that vessels are nodules.
    """

    by_readers: tuple[Share, Share, Share, Share]
    small_mm: Positive
    small: Share


class MiningConfig(_Frozen):
    """How false candidates are collected: `clearance_mm` from any mark. Of a filter's samples `hardest_share` come from
    the `hardest` fraction of each source, those that the base network takes for nodules most."""

    clearance_mm: Positive
    hardest: Share
    hardest_share: Share


class LearningConfig(_Frozen):
    """Channels of the four convolutions; steps of the base and of a filter; AdamW with a cosine decay, which begins at
    `learning_rate` for the base and at `filter_learning_rate` for a filter. `compiled` traces the step once (seconds)
    and then runs it several times as fast."""

    channels: tuple[int, int, int, int]
    dropout: Share
    steps: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]]
    learning_rate: Positive
    filter_learning_rate: Positive
    weight_decay: Annotated[float, Field(ge=0)]
    ema_momentum: Annotated[float, Field(ge=0, lt=1)]
    label_smoothing: Share
    compiled: bool = True


class DetectorConfig(_Frozen):
    """The recipe, the scans and the filters trained by it. All filters go on from one base network, which sees no scan
    and none of the folds that any filter must not see. `checkpoint_steps` between two checkpoints change no result."""

    seed: int
    input: InputConfig
    sources: SourcesConfig
    augment: AugmentConfig
    positives: PositivesConfig
    scanner: ScannerConfig
    mining: MiningConfig
    learning: LearningConfig
    scans: dict[str, ScanConfig]
    filters: dict[str, FilterConfig]
    checkpoint_steps: Annotated[int, Field(ge=1)] = 50

    @property
    def base(self) -> FilterConfig:
        """What the base network may see."""
        held_out = {fold for wanted in self.filters.values() for fold in wanted.held_out_folds}
        return FilterConfig(held_out_folds=tuple(sorted(held_out)), hard_negatives=())

    def tester(self, scan: str) -> str:
        """The first filter that learned neither from a scan nor from the nodules planted into it.

        Raises ValueError when every filter did.
        """
        planted = set(self.scans[scan].planted_folds)
        for name, wanted in self.filters.items():
            if scan not in wanted.hard_negatives and planted <= set(wanted.held_out_folds):
                return name
        raise ValueError(f"every filter has learned from {scan} or from the nodules planted into it")

    @model_validator(mode="after")
    def _known(self) -> Self:
        if unknown := {s for f in self.filters.values() for s in f.hard_negatives} - set(self.scans):
            raise ValueError(f"filters take hard negatives from scans that are not listed: {sorted(unknown)}")
        return self


def load_detector_config(path: Path) -> DetectorConfig:
    """Read a TOML file; raises pydantic.ValidationError naming each field that does not fit, OSError without it."""
    return DetectorConfig.model_validate(tomllib.loads(path.read_text("utf-8")))
