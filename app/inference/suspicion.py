"""The second look at what a search of a slice or series found: a small CNN on two fields of view.

The candidate filter asks whether something is a nodule and the classifier how suspicious a nodule is. Both see little
around it, and neither has learned that hilar vessels, the dome of the diaphragm or pneumonia are no cancer. This one
asks whether a place is a suspicious nodule or mass against everything else there is in a scan.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.errors import BundleError
from app.imaging.ct import CTSlice, FloatImage, PointPx
from app.imaging.patches import PatchSpec, extract_patch
from app.imaging.planes import PLANES, PlanePatches, PointVx, plane_patches
from app.imaging.volume import CTVolume
from app.inference.backends import Backend
from app.inference.bundle import GoldenCase, Interval, TrainingData, VerifiedManifest, read_verified
from app.inference.detector import DetectorPerformance
from app.inference.golden import check_golden

NAME: Final = "nodule-suspicion"
OUTPUTS: Final = ("suspicious", "nodule")
BATCH: Final = 64

Logits = NDArray[np.float32]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class FieldsContract(_Frozen):
    """What goes in: float32 (N, size, size, 2) in HU, the same middle seen at `near_mm` and at `wide_mm` a pixel."""

    size_px: Annotated[int, Field(ge=8, le=128)]
    near_mm: Annotated[float, Field(gt=0.1, le=3)]
    wide_mm: Annotated[float, Field(gt=0.1, le=6)]
    clip_hu: tuple[float, float]

    def specs(self, zoom: float = 1.0) -> tuple[PatchSpec, PatchSpec]:
        """The near and the wide patch. `zoom` 2 sees a mass of 40 mm as one of 20."""
        return PatchSpec(self.size_px, self.near_mm * zoom), PatchSpec(self.size_px, self.wide_mm * zoom)


class ScoreRule(_Frozen):
    """A finding's score: `suspicious` times its logit, plus the others' logits times theirs.

    In a series each logit is the mean of the three planes', the filter's too.
    """

    suspicious: float
    nodule: float
    filter: float

    def score(self, suspicious: Logits, nodule: Logits, filtered: Logits) -> Logits:
        """Scores (N,) from logits (N,)."""
        return np.asarray(self.suspicious * suspicious + self.nodule * nodule + self.filter * filtered, np.float32)


class ScanPoint(_Frozen):
    """Where the decision for a whole slice or series changes, on the score of its highest finding.

    A finding is listed from `listed_from` and leaves the decision open from `open_from`; from `suspected_from` the
    decision is `cancer_suspected`. `false_alarms` is the share of slices without lesion that `suspected_from` calls so,
    or the number of such findings in a series. `scans` is how many scans chose it, `nodules` on how many its
    sensitivity was measured.
    """

    per: Literal["slice", "series"]
    listed_from: float
    open_from: float
    suspected_from: float
    chosen_for: str
    sensitivity: Interval
    false_alarms: Interval
    scans: Annotated[int, Field(ge=1)]
    nodules: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.listed_from <= self.open_from <= self.suspected_from:
            raise ValueError("listed_from, open_from and suspected_from must not fall")
        return self


class SuspicionManifest(VerifiedManifest):
    """`manifest.json` of a second look. Its points hold for one filter only, named by digest.

    `classifier_digest` names the classifier that may object where its figures hold: beside another they are withdrawn.
    """

    input: FieldsContract
    outputs: tuple[Literal["suspicious"], Literal["nodule"]]
    rule: ScoreRule
    slice_point: ScanPoint
    series_point: ScanPoint
    filter_digest: str
    classifier_digest: str | None = None
    training_data: tuple[TrainingData, ...]
    performance: DetectorPerformance
    golden: GoldenCase

    @model_validator(mode="after")
    def _complete(self) -> Self:
        size = self.input.size_px
        if self.golden.hu.shape != (size, size, 2):
            raise ValueError(f"the golden input is {self.golden.hu.shape}, the input {(size, size, 2)}")
        if set(self.golden.outputs) != set(OUTPUTS):
            raise ValueError(f"the golden case must hold {OUTPUTS} and nothing else")
        if (self.slice_point.per, self.series_point.per) != ("slice", "series"):
            raise ValueError("slice_point must be per slice and series_point per series")
        return self


@dataclass(frozen=True, slots=True)
class SecondLook:
    """A verified network on a running backend."""

    path: Path
    manifest: SuspicionManifest
    digest: str
    backend: Backend

    @classmethod
    def verified(cls, path: Path, backend: Backend) -> SecondLook:
        """One whose files match its manifest, not yet loaded; raises BundleError naming what differs."""
        manifest, digest = read_verified(path, SuspicionManifest)
        return cls(path, manifest, digest, backend)

    def load(self) -> None:
        """Load it and run its golden case; raises BundleError when that differs by more than its tolerance."""
        self.backend.load(self.path)
        golden = self.manifest.golden
        outputs = self.backend.run(golden.batch())
        check_golden(golden, outputs, self.backend.name, self.path)

    def on_slice(self, ct_slice: CTSlice, places: Sequence[tuple[PointPx, float]]) -> tuple[Logits, Logits]:
        """Logits (N,) of `suspicious` and of `nodule` for (centre, zoom) places on a slice."""
        return self.logits(slice_fields(ct_slice, centre, self.manifest.input.specs(zoom)) for centre, zoom in places)

    def in_volume(self, volume: CTVolume, places: Sequence[tuple[PointVx, float]]) -> tuple[Logits, Logits]:
        """The same for (column, row, slice) points of a volume: means over the three planes."""
        fields = [volume_fields(volume, point, self.manifest.input.specs(zoom)) for point, zoom in places]
        suspicious, nodule = self.logits(plane for of_place in fields for plane in of_place)
        shape = (len(places), len(PLANES))
        return suspicious.reshape(shape).mean(axis=1), nodule.reshape(shape).mean(axis=1)

    def score_slice(self, ct_slice: CTSlice, places: Sequence[tuple[PointPx, float]], filtered: Logits) -> Logits:
        """Scores (N,) of (centre, zoom) places on a slice, for which the filter's logits are `filtered` (N,)."""
        return self.manifest.rule.score(*self.on_slice(ct_slice, places), filtered)

    def score_volume(self, volume: CTVolume, places: Sequence[tuple[PointVx, float]], filtered: Logits) -> Logits:
        """The same in a volume; `filtered` are the means of the filter's logits over the three planes."""
        return self.manifest.rule.score(*self.in_volume(volume, places), filtered)

    def logits(self, fields: Iterable[FloatImage]) -> tuple[Logits, Logits]:
        """Logits (N,) of `suspicious` and of `nodule` for float32 (size, size, 2) fields in HU."""
        hu = np.array(list(fields), np.float32)
        if not len(hu):
            return np.zeros(0, np.float32), np.zeros(0, np.float32)
        parts = [self.backend.run(part) for part in np.split(hu, range(BATCH, len(hu), BATCH))]
        found = {name: np.concatenate([part[name].reshape(-1) for part in parts]) for name in OUTPUTS}
        return found["suspicious"], found["nodule"]

    def require_filter(self, digest: str) -> None:
        """Raises BundleError where this was measured behind another filter."""
        if digest != self.manifest.filter_digest:
            raise BundleError(
                found=f"{self.path}: measured behind the filter {self.manifest.filter_digest}",
                expected=f"the filter that is served, {digest}",
                remedy="Serve the filter it names, or measure and export it anew behind this one (docs/detector.md).",
            )


def slice_fields(ct_slice: CTSlice, centre_px: PointPx, specs: tuple[PatchSpec, PatchSpec]) -> FloatImage:
    """Both fields around a (column, row) point of a slice, float32 (size, size, 2) in HU."""
    return np.stack([extract_patch(ct_slice, centre_px, spec).hu for spec in specs], axis=-1)


def volume_fields(volume: CTVolume, point: PointVx, specs: tuple[PatchSpec, PatchSpec]) -> PlanePatches:
    """Both fields in each of the three planes, float32 (3, size, size, 2) in HU."""
    return np.stack([plane_patches(volume, point, spec) for spec in specs], axis=-1)
