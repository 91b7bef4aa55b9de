"""Whether a picture is an axial slice of a chest at all, by a small CNN on a thumbnail of it.

A header says so, or nothing does: a coronal reformat without orientation, an abdomen with gas in the stomach, an
ultrasound as PNG would be searched for nodules like a chest, and some of them are found to have one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Annotated, Final, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.imaging.ct import CTSlice, FloatImage, QualityNote
from app.imaging.quality import shows_whole_body
from app.imaging.scale import MIDDLE
from app.imaging.thumbnail import thumbnail
from app.imaging.volume import CTVolume
from app.inference.backends import Backend
from app.inference.bundle import GoldenCase, Interval, TrainingData, VerifiedManifest, read_verified
from app.inference.golden import check_golden

NAME: Final = "chest-view"
OUTPUT: Final = "axial_chest"
CODE: Final = "not_axial_chest"
SLICES_ASKED: Final = 5  # of the middle of a series: its ends show shoulders or the abdomen


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ThumbnailContract(_Frozen):
    """What goes in: float32 (N, size_px, size_px, 1) in HU, the whole slice (`app.imaging.thumbnail`)."""

    size_px: Annotated[int, Field(ge=16, le=128)]
    clip_hu: tuple[float, float]


class ViewPerformance(_Frozen):
    """Measured figures, the command that measured them, and how."""

    command: str
    protocol: str
    figures: Mapping[str, Interval]


class ViewManifest(VerifiedManifest):
    """`manifest.json`. The output is a logit: below `rejected_below` a picture is no axial slice of a chest; from
    there up to `doubtful_below` it may not be called normal."""

    input: ThumbnailContract
    outputs: tuple[Literal["axial_chest"]]
    rejected_below: float
    doubtful_below: float
    training_data: tuple[TrainingData, ...]
    performance: ViewPerformance
    golden: GoldenCase

    @model_validator(mode="after")
    def _complete(self) -> Self:
        size = self.input.size_px
        if self.golden.hu.shape != (size, size) or set(self.golden.outputs) != {OUTPUT}:
            raise ValueError(f"the golden case must hold {size} x {size} pixels and {OUTPUT}")
        if self.rejected_below > self.doubtful_below:
            raise ValueError("rejected_below must not be above doubtful_below")
        return self


@dataclass(frozen=True, slots=True)
class ViewCheck:
    """A verified network on a running backend."""

    path: Path
    manifest: ViewManifest
    digest: str
    backend: Backend

    @classmethod
    def verified(cls, path: Path, backend: Backend) -> ViewCheck:
        """One whose files match its manifest, not yet loaded; raises BundleError naming what differs."""
        manifest, digest = read_verified(path, ViewManifest)
        return cls(path, manifest, digest, backend)

    def load(self) -> None:
        """Load it and run its golden case; raises BundleError when that differs by more than its tolerance."""
        self.backend.load(self.path)
        golden = self.manifest.golden
        outputs = self.backend.run(golden.hu.decode()[None, ..., None])
        check_golden(golden, outputs, self.backend.name, self.path)

    def notes(self, ct_slice: CTSlice) -> tuple[QualityNote, ...]:
        """What is said of a slice: nothing where it looks like one of a chest, and where the view is too narrow."""
        return self._said((ct_slice,)) if shows_whole_body(ct_slice) else ()

    def volume_notes(self, volume: CTVolume) -> tuple[QualityNote, ...]:
        """The same of a series, by the median of some slices of its middle."""
        first, last = (part * (len(volume) - 1) for part in MIDDLE)
        indices = sorted({round(at) for at in np.linspace(first, last, SLICES_ASKED)})
        slices = tuple(volume.slice_at(n) for n in indices)
        return self._said(slices) if shows_whole_body(slices[0]) else ()

    def remarked(self, ct_slice: CTSlice) -> CTSlice:
        """The slice with what is said of it among its notes, which every judgement begins with."""
        return replace(ct_slice, notes=(*ct_slice.notes, *self.notes(ct_slice)))

    def remarked_volume(self, volume: CTVolume) -> CTVolume:
        """The same of a series."""
        return replace(volume, notes=(*volume.notes, *self.volume_notes(volume)))

    def score(self, slices: Sequence[CTSlice]) -> float:
        """The median logit of slices."""
        size = self.manifest.input.size_px
        return self.of_thumbnails([thumbnail(each.hu, each.spacing_mm, size) for each in slices])

    def of_thumbnails(self, thumbnails: Sequence[FloatImage]) -> float:
        """The median logit of float32 (size, size) thumbnails in HU."""
        # NumPy's median takes a quarter of an inference for one number.
        return median(self.backend.run(np.stack(thumbnails)[..., None])[OUTPUT].ravel().tolist())

    def _said(self, slices: Sequence[CTSlice]) -> tuple[QualityNote, ...]:
        score, manifest = self.score(slices), self.manifest
        if score >= manifest.doubtful_below:
            return ()
        if score < manifest.rejected_below:
            message = (
                f"It does not look like an axial slice of a chest (score {score:.1f}; judged from "
                f"{manifest.rejected_below:g}): another plane, another region or no CT."
            )
            return (QualityNote("not_axial_chest", "error", message, bars_normal=True),)
        sure = manifest.doubtful_below
        message = f"It hardly looks like an axial slice of a chest (score {score:.1f}; sure from {sure:g})."
        return (QualityNote("not_axial_chest", "warning", message, bars_normal=True),)
