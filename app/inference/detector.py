"""The candidate filter: a small CNN that tells nodules from everything else a blob detector finds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.errors import BundleError
from app.imaging.candidates import LARGE_MM
from app.imaging.ct import CTSlice, PointPx
from app.imaging.patches import PatchSpec, extract_patch
from app.imaging.planes import PLANES, PlanePatches, plane_patches
from app.imaging.volume import CTVolume
from app.inference.backends import Backend
from app.inference.bundle import (
    GoldenCase,
    InputContract,
    Interval,
    TrainingData,
    VerifiedManifest,
    read_verified,
)
from app.inference.conformal import Fraction

NAME: Final = "nodule-detector"
OUTPUT: Final = "nodule"
MIN_SEPARATION_MM: Final = 4.0  # two centres closer than the smallest nodule are one finding
LOGIT_BOUND: Final = 1e-6  # a probability of exactly 0 or 1 would outweigh every score
BATCH: Final = 64  # patches at once: the next batch is where a caller may stop, and more is no faster on one core

Scores = NDArray[np.float32]
Progress = Callable[[int, int], None]


class OnSlice(Protocol):
    """A place on a slice."""

    @property
    def centre_px(self) -> PointPx:
        """(column, row) in pixels of the slice."""
        ...

    @property
    def zoom(self) -> float:
        """How many times as large the pixels of its patches are."""
        ...


class Blob(OnSlice, Protocol):
    """A place on a slice with a size."""

    @property
    def diameter_mm(self) -> float:
        """Of the blob."""
        ...


B = TypeVar("B", bound=Blob)


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

    `score` is a logit: of one patch for a slice, with the second reader's where there is one; the sum over the three
    planes for a series. `false_positives` is the mean number per slice or in one series (`per`).
    """

    score: float
    per: Literal["slice", "series"]
    chosen_for: str
    sensitivity: Interval
    false_positives: Interval


class SecondReader(_Frozen):
    """The classifier that is heard on slices: about candidates with a score of the filter of `from_score` and more.

    Their score is the filter's plus `weight` times the logit of `output` of the bundle `model`; others are not shown.
    """

    model: str
    output: Literal["nodule"] = "nodule"
    from_score: float
    chosen_for: str
    weight: Annotated[float, Field(gt=0)]

    def joint(self, scores: Scores, probabilities: Scores) -> Scores:
        """Scores (N,) from the filter's and the second reader's probabilities, both (N,)."""
        p = np.clip(probabilities.astype(np.float64), LOGIT_BOUND, 1 - LOGIT_BOUND)
        return np.asarray(scores + self.weight * np.log(p / (1 - p)), np.float32)


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
    second_reader: SecondReader | None = None
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


def best_apart(points_mm: NDArray[np.float64], diameters_mm: NDArray[np.float64], scores: Scores) -> list[int]:
    """Numbers of the best of (N,) candidates at (N, 2) points, best first.

    Left out is one whose middle lies in a better one or the other way round, or closer to it than MIN_SEPARATION_MM:
    a blob detector answers several times along one structure. What is large and what is not leave each other out in
    nothing: a disc of 56 mm that scores better than the nodule in it is not that nodule.
    """
    kept: list[int] = []
    large = diameters_mm > LARGE_MM
    for k in np.argsort(-scores, kind="stable").tolist():
        apart_mm = np.linalg.norm(points_mm[kept] - points_mm[k], axis=1)
        reach_mm = np.maximum(diameters_mm[kept], diameters_mm[k]) / 2
        apart = apart_mm >= np.maximum(reach_mm, MIN_SEPARATION_MM)
        if (apart | (large[kept] != large[k])).all():
            kept.append(k)
    return kept


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
    def passes_from(self) -> float:
        """The score of a candidate on one slice from which a second network is asked about it."""
        second = self.manifest.second_reader
        return self.slice_threshold if second is None else second.from_score

    @property
    def series_threshold(self) -> float:
        """The score of a candidate in a volume from which it is shown."""
        return self.manifest.series_threshold.score

    def passed(self, ct_slice: CTSlice, candidates: Sequence[B]) -> list[tuple[B, float]]:
        """The candidates on a slice that this filter lets pass, each with its logit, best first, one to a place."""
        scores = self.score_slice(ct_slice, candidates)
        enough = np.flatnonzero(scores >= self.passes_from).tolist()
        down_mm, across_mm = ct_slice.spacing_mm
        centres = np.array([candidates[n].centre_px for n in enough], np.float64).reshape(-1, 2)
        diameters_mm = np.array([candidates[n].diameter_mm for n in enough], np.float64)
        apart = best_apart(centres * (across_mm, down_mm), diameters_mm, scores[enough])
        return [(candidates[enough[k]], float(scores[enough[k]])) for k in apart]

    def score_slice(self, ct_slice: CTSlice, candidates: Sequence[OnSlice]) -> Scores:
        """Logits (N,) of candidates on one slice."""
        spec = self.patch_spec
        return self._scores(extract_patch(ct_slice, c.centre_px, spec.zoomed(c.zoom)).hu for c in candidates)

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
            patches = [self._plane_patches(volume, c) for c in part]
            logits = self._scores(np.concatenate(patches))
            scores[first : first + each] = logits.reshape(len(part), len(PLANES)).sum(axis=1)
            if progress is not None:
                progress(first + len(part), len(candidates))
        return scores

    def _plane_patches(self, volume: CTVolume, place: InVolume) -> PlanePatches:
        point = (*place.centre_px, place.slice_position)
        return plane_patches(volume, point, self.patch_spec.zoomed(place.zoom))

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
