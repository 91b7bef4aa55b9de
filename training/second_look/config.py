"""Every number that the second look's training depends on, read from TOML into frozen objects."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.inference.suspicion import FieldsContract
from training.data.scans import ScanConfig
from training.detector.config import ScannerConfig
from training.fitting.config import AugmentConfig, Count, Positive, Range, Share


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NetworkConfig(_Frozen):
    """One network and what it never sees: folds of patches, whole scans, a part of the patients of the chest slices."""

    held_out_folds: tuple[int, ...] = ()
    held_out_scans: tuple[str, ...] = ()
    held_out_part: Count | None = None


class LesionConfig(_Frozen):
    """A suspicious lesion of a scan: its middle (x, y, z) in patient mm and its diameter."""

    centre_mm: tuple[float, float, float]
    diameter_mm: Positive


class LookScanConfig(ScanConfig):
    """A whole scan with the lesions in it that are suspicious by three readers or, without readings, by its patient's
    known cancer."""

    lesions: tuple[LesionConfig, ...] = ()


class ChestSlicesConfig(_Frozen):
    """Single slices with a table of readings. Patients, sorted, are dealt out to `parts` in turn.

    `negatives` are the readings of slices whose candidates are no suspicious nodule, `masses` those whose marked place
    is one; `zooms` are how many times coarser a mass is seen. `unclear` are files that teach nothing.
    """

    folder: str
    parts: Annotated[int, Field(ge=1)]
    regions: tuple[str, ...]
    negatives: tuple[str, ...]
    masses: tuple[str, ...]
    unclear: tuple[str, ...] = ()
    mass_mm: Positive
    zooms: tuple[float, ...]


class SourcesConfig(_Frozen):
    """Samples of each kind in one batch. `large_blobs` are those of scans and slices seen coarser: hilum, heart,
    domes of the diaphragm. `domes` are generated ones on blobs of patches, since a scan has few."""

    suspicious: Annotated[int, Field(ge=1)]
    other_nodules: Count
    scan_lesions: Count
    chest_masses: Count
    luna_nodules: Count
    luna_negatives: Count
    lidc_blobs: Count
    scan_blobs: Count
    chest_blobs: Count
    large_blobs: Count
    domes: Count


class EdgesConfig(_Frozen):
    """Where a picture is mirrored, on each side at random in mm from its middle, so that a patch's edge does not tell
    its source: mostly within `usual_mm`, for the share `close` within `close_mm`, but not in a nodule."""

    usual_mm: Range
    close: Share
    close_mm: Range


class DomesConfig(_Frozen):
    """Generated domes of the diaphragm as one slice cuts them: an ellipse of soft tissue, brightest in the middle, that
    fades out within `fade_mm`. Radii in mm as they look in the fields."""

    radius_mm: Range
    ratio: Range
    fade_mm: Range
    tissue_hu: Range
    offset_mm: Range


class LabelsConfig(_Frozen):
    """How often a nodule is drawn: by its readers (1, 2, 3, 4 and more), and below `small_mm` in diameter less."""

    by_readers: tuple[Share, Share, Share, Share]
    small_mm: Positive
    small: Share


class MiningConfig(_Frozen):
    """How false candidates are collected: `clearance_mm` from any mark, `margin_mm` from a patch's edge.

    Of a slice the filter's best and some random ones are kept; what the filter scores `easy_below` or less is drawn
    `easy` times as often as the rest.
    """

    clearance_mm: Positive
    margin_mm: Positive
    best_per_slice: Count
    random_per_slice: Count
    easy_below: float
    easy: Share


class LearningConfig(_Frozen):
    """Channels of a field's four convolutions; AdamW with a cosine decay; `nodule` weighs that head's loss."""

    channels: tuple[int, int, int, int]
    dropout: Share
    steps: Annotated[int, Field(ge=1)]
    learning_rate: Positive
    weight_decay: Annotated[float, Field(ge=0)]
    ema_momentum: Annotated[float, Field(ge=0, lt=1)]
    label_smoothing: Share
    nodule: Positive
    compiled: bool = True


class LookConfig(_Frozen):
    """The recipe, the scans and slices, and the networks trained by it.

    `checkpoint_steps` between two checkpoints change no result.
    """

    seed: int
    input: FieldsContract
    sources: SourcesConfig
    augment: AugmentConfig
    edges: EdgesConfig
    domes: DomesConfig
    labels: LabelsConfig
    scanner: ScannerConfig
    mining: MiningConfig
    learning: LearningConfig
    scans: dict[str, LookScanConfig]
    chest_slices: ChestSlicesConfig | None
    networks: dict[str, NetworkConfig]
    checkpoint_steps: Annotated[int, Field(ge=1)] = 50

    def tester(self, scan: str) -> str:
        """The first network that learned neither from a scan nor from the nodules planted into it.

        Raises ValueError when every network did.
        """
        planted = set(self.scans[scan].planted_folds)
        for name, network in self.networks.items():
            if scan in network.held_out_scans and planted <= set(network.held_out_folds):
                return name
        raise ValueError(f"every network has learned from {scan} or from the nodules planted into it")

    def part_tester(self, part: int) -> str:
        """The first network that saw no slice of this part's patients; raises ValueError when every network did."""
        for name, network in self.networks.items():
            if network.held_out_part == part:
                return name
        raise ValueError(f"every network has learned from part {part} of the chest slices")

    @model_validator(mode="after")
    def _known(self) -> Self:
        if unknown := {s for n in self.networks.values() for s in n.held_out_scans} - set(self.scans):
            raise ValueError(f"networks leave out scans that are not listed: {sorted(unknown)}")
        return self


def load_look_config(path: Path) -> LookConfig:
    """Read a TOML file; raises pydantic.ValidationError naming each field that does not fit, OSError without it."""
    return LookConfig.model_validate(tomllib.loads(path.read_text("utf-8")))
