"""What `diagnose` answers: one shape from which every rendering (JSON, table, report) is written."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.imaging.ct import PointMm, PointPx, QualityNote, SliceSource
from app.inference.bundle import Finding as Label
from app.inference.vocabulary import Decision


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


@dataclass(frozen=True, slots=True, eq=False)
class Finding:
    """One nodule. `probability` is None when it was not judged; `diameter_mm` is that of the circle with the
    predicted outline's area, None without outline; `outline_px` is (N, 2) (column, row) of the sent image."""

    id: int
    center_px: PointPx
    center_mm: PointMm | None
    nodule_probability: float
    probability: float | None
    diameter_mm: float | None
    traits: tuple[Trait, ...]
    outline_px: NDArray[np.float64]
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class Timing:
    """Milliseconds spent; decoding is the caller's to measure."""

    search_ms: float
    infer_ms: float


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """The judgement of one slice. `probability` and `prediction_set` are empty exactly when it is rejected."""

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

    def __post_init__(self) -> None:
        if (self.decision == "rejected") != (self.probability is None):
            raise ValueError("a probability is given unless the slice is rejected")
        if self.decision == "rejected" and not self.reasons:
            raise ValueError("a rejection has a reason")
