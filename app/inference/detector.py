"""The candidate filter: a small CNN that tells nodules from everything else a blob detector finds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.errors import BundleError
from app.imaging.ct import CTSlice, PointPx
from app.imaging.patches import PatchSpec, extract_patch
from app.imaging.planes import PLANES, plane_patches
from app.imaging.volume import CTVolume
from app.inference.backends import Backend
from app.inference.bundle import (
    Fraction,
    GoldenCase,
    InputContract,
    Interval,
    TrainingData,
    VerifiedManifest,
    read_verified,
)

NAME: Final = "nodule-detector"
OUTPUT: Final = "nodule"
BATCH: Final = 64  # patches at once: the next batch is where a caller may stop, and more is no faster on one core

Scores = NDArray[np.float32]
Progress = Callable[[int, int], None]


class OnSlice(Protocol):
    """A place on a slice."""

    @property
    def centre_px(self) -> PointPx:
        """(column, row) in pixels of the slice."""
        ...


class InVolume(OnSlice, Protocol):
    """A place in a volume."""

    @property
    def slice_position(self) -> float:
        """Slices from the first, 0 at its middle; may lie between two."""
        ...


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ScoreThreshold(_Frozen):
    """The score at and above which a candidate is shown, what chose it, and what was measured there.

    `score` is a logit: of one patch for a slice, the sum over the three planes for a series. `false_positives` is the
    mean number per slice or in one series (`per`).
    """

    score: float
    per: Literal["slice", "series"]
    chosen_for: str
    sensitivity: Interval
    false_positives: Interval


class DetectorPerformance(_Frozen):
    """Measured figures, the command that measured them, and how."""

    command: str
    protocol: str
    plantings: Annotated[int, Field(ge=0)]
    patients: Annotated[int, Field(ge=0)]
    figures: Mapping[str, Interval]


class HardNegatives(_Frozen):
    """A scan whose false candidates the weights have seen: it cannot test them."""

    series: str
    patches: Annotated[int, Field(ge=0)]
    share: Annotated[Fraction, Field(description="of every batch")]


class DetectorManifest(VerifiedManifest):
    """`manifest.json` of a candidate filter."""

    input: InputContract
    outputs: tuple[Literal["nodule"]]
    slice_threshold: ScoreThreshold
    series_threshold: ScoreThreshold
    training_data: tuple[TrainingData, ...]
    hard_negatives: tuple[HardNegatives, ...]
    performance: DetectorPerformance
    golden: GoldenCase

    @model_validator(mode="after")
    def _complete(self) -> Self:
        size = self.input.size_px
        if self.golden.hu.shape != (size, size):
            raise ValueError(f"the golden input is {self.golden.hu.shape}, the filter's input {size} x {size}")
        if set(self.golden.outputs) != {OUTPUT}:
            raise ValueError(f"the golden case must hold {OUTPUT} and nothing else")
        if (self.slice_threshold.per, self.series_threshold.per) != ("slice", "series"):
            raise ValueError("slice_threshold must be per slice and series_threshold per series")
        return self


@dataclass(frozen=True, slots=True)
class Detector:
    """A verified filter on a running backend. Its scores are logits: more is more like a nodule."""

    path: Path
    manifest: DetectorManifest
    digest: str
    backend: Backend

    @classmethod
    def load(cls, path: Path, backend: Backend) -> Detector:
        """Verify the bundle in `path`, load it on `backend` and run its golden case.

        Raises BundleError when a file, the contract or the golden case does not match.
        """
        manifest, digest = read_verified(path, DetectorManifest)
        backend.load(path)
        detector = cls(path, manifest, digest, backend)
        detector.verify_golden()
        return detector

    @property
    def patch_spec(self) -> PatchSpec:
        """The patch this filter takes."""
        return self.manifest.input.patch_spec

    @property
    def slice_threshold(self) -> float:
        """The score of a candidate on one slice from which it is shown."""
        return self.manifest.slice_threshold.score

    @property
    def series_threshold(self) -> float:
        """The score of a candidate in a volume from which it is shown."""
        return self.manifest.series_threshold.score

    def score_slice(self, ct_slice: CTSlice, candidates: Sequence[OnSlice]) -> Scores:
        """Logits (N,) of candidates on one slice."""
        return self._scores(extract_patch(ct_slice, c.centre_px, self.patch_spec).hu for c in candidates)

    def score_volume(
        self, volume: CTVolume, candidates: Sequence[InVolume], progress: Progress | None = None
    ) -> Scores:
        """Sums (N,) of the logits of each candidate's axial, coronal and sagittal patch.

        `progress(done, of)`, in candidates, is called after every batch; what it raises ends the work there.
        """
        scores = np.zeros(len(candidates), np.float32)
        each = BATCH // len(PLANES)
        for first in range(0, len(candidates), each):
            part = candidates[first : first + each]
            patches = [plane_patches(volume, (*c.centre_px, c.slice_position), self.patch_spec) for c in part]
            logits = self._scores(np.concatenate(patches))
            scores[first : first + each] = logits.reshape(len(part), len(PLANES)).sum(axis=1)
            if progress is not None:
                progress(first + len(part), len(candidates))
        return scores

    def verify_golden(self) -> None:
        """Run the golden case; raises BundleError when the score differs by more than its tolerance."""
        golden = self.manifest.golden
        expected = golden.outputs[OUTPUT].decode().reshape(1)
        found = self._scores([golden.hu.decode()])
        difference = float(np.abs(found - expected)[0]) if found.shape == expected.shape else float("inf")
        if not difference <= golden.tolerance:
            raise BundleError(
                found=f"{self.path}: golden case, a difference of {difference:.2g}",
                expected=f"at most {golden.tolerance:g} from the score in the manifest",
                remedy=f"The {self.backend.name} runtime does not reproduce this bundle; use another one.",
            )

    def _scores(self, patches: Iterable[NDArray[np.float32]]) -> Scores:
        """Logits (N,) of float32 (size, size) patches in HU."""
        hu = np.array(list(patches), np.float32)
        if not len(hu):
            return np.zeros(0, np.float32)
        parts = np.split(hu[..., None], range(BATCH, len(hu), BATCH))
        return np.concatenate([self.backend.run(part)[OUTPUT] for part in parts])
