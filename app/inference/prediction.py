"""What the use cases answer: one shape from which every rendering (JSON, table, report) is written."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from app.imaging.ct import PointMm, PointPx, QualityNote, SliceSource
from app.imaging.raster import spread
from app.inference.conformal import Finding as Label
from app.inference.suspicion import ScanPoint
from app.inference.vocabulary import Decision, Suspicion

OpinionReason = Literal["not_judged", "too_few_slices", "too_large"]
NEUTRAL_EVIDENCE: Final = 0.5  # a sigmoid (training.reporting.export): above speaks for suspicion, below against


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """Class-activation map of malignancy, (h, w) in 0-1, and the rectangle it covers: (left, top, right, bottom)
    in pixels of the sent image, pixel borders included."""

    values: NDArray[np.float32]
    rectangle_px: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Trait:
    """One rating on its LIDC scale."""

    name: str
    value: float
    scale: tuple[int, int]


@dataclass(frozen=True, slots=True)
class SliceRef:
    """One slice of a series: its 0-based index in spatial order and its SOP Instance UID."""

    index: int
    sop_instance_uid: str | None


@dataclass(frozen=True, slots=True, eq=False)
class SliceOutline:
    """A nodule's outline on the slice of a series with this index, (N, 2) (column, row)."""

    index: int
    points_px: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SecondOpinion:
    """What the recurrent network over `slices` slices says of a nodule; no probability where `reason` says why not."""

    probability: float | None
    slices: int
    reason: OpinionReason | None

    def __post_init__(self) -> None:
        if (self.probability is None) != (self.reason is not None):
            raise ValueError("an opinion has a probability, or a reason why it has none")


@dataclass(frozen=True, slots=True, eq=False)
class Finding:
    """One nodule. `probability` is None when it was not judged; `diameter_mm` is that of the circle with the
    predicted outline's area, None without outline; `soft_diameter_mm` is the size that calibration and prediction sets
    take (`conformal.soft_diameter_mm`); `outline_px` is (N, 2) (column, row) of the sent image;
    `detector_score` is the logit with which it was found, None where somebody pointed at it. `suspicion_score` is what
    the second look gives it and `suspicion` what that counts for in the decision, both None where it was not asked.

    In a series `slice` is the one on which the nodule is largest, to which centre, outline and evidence belong,
    `slices` are all on which it shows, in spatial order, and `outlines` those on which it was outlined. It has a
    `second_opinion` where one was asked for.
    """

    id: int
    center_px: PointPx
    center_mm: PointMm | None
    nodule_probability: float
    probability: float | None
    diameter_mm: float | None
    soft_diameter_mm: float
    traits: tuple[Trait, ...]
    outline_px: NDArray[np.float64]
    evidence: Evidence
    detector_score: float | None = None
    suspicion_score: float | None = None
    suspicion: Suspicion | None = None
    slice: SliceRef | None = None
    slices: tuple[SliceRef, ...] = ()
    outlines: tuple[SliceOutline, ...] = ()
    second_opinion: SecondOpinion | None = None


@dataclass(frozen=True, slots=True)
class KeySlice:
    """A slice to look at, and the findings that are largest on it."""

    slice: SliceRef
    finding_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Series:
    """Which series was judged, and the slices to look at, the most suspicious finding's first."""

    slices: int
    slice_spacing_mm: float
    series_instance_uid: str | None
    study_instance_uid: str | None
    key_slices: tuple[KeySlice, ...]


@dataclass(frozen=True, slots=True)
class Timing:
    """Milliseconds spent; decoding is the caller's to measure. Of a series also for each stage."""

    search_ms: float
    infer_ms: float
    stages_ms: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """The judgement of one slice, or of one series.

    `probability` is that of the finding on which the decision rests, None where it rests on none. `point` is what the
    scores of a slice or series were held against, None where no score was asked for.
    """

    decision: Decision
    probability: float | None
    operating_point: float
    prediction_set: tuple[Label, ...]
    findings: tuple[Finding, ...]
    reasons: tuple[str, ...]
    quality: tuple[QualityNote, ...]
    source: SliceSource
    spacing_mm: tuple[float, float]
    timing: Timing
    point: ScanPoint | None = None
    series: Series | None = None

    def __post_init__(self) -> None:
        if self.probability is not None and (self.decision == "rejected" or not self.findings):
            raise ValueError("a probability is that of a finding that was judged")
        if (self.decision in ("rejected", "indeterminate")) != bool(self.reasons):
            raise ValueError("a decision that is withheld has a reason, any other has none")
        if self.decision == "cancer_suspected" and not self.findings:
            raise ValueError("a suspicion is of a finding")


def timing_of(started: float, searched: float) -> Timing:
    """From `time.perf_counter` at the start and at the end of the search, the networks' end being now."""
    return Timing(search_ms=(searched - started) * 1000, infer_ms=(time.perf_counter() - searched) * 1000)


def evidence_on(findings: Sequence[Finding], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Evidence 0-1 of the judged findings on an image, float32 (rows, columns); NEUTRAL_EVIDENCE elsewhere."""
    judged = (finding.evidence for finding in findings if finding.probability is not None)
    return spread([(evidence.values, evidence.rectangle_px) for evidence in judged], shape, NEUTRAL_EVIDENCE)
