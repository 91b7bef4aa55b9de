"""What was answered, as it is kept in the results, and who answers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from pydantic import BaseModel, ConfigDict

from app.imaging.ct import CTSlice, PointPx
from app.imaging.volume import CTVolume
from app.inference.detector import Detector
from app.inference.diagnose import diagnose
from app.inference.model import Model
from app.inference.prediction import Finding, Prediction
from app.inference.series import diagnose_volume
from app.inference.suspicion import SecondLook
from app.inference.view import ViewCheck
from app.inference.vocabulary import Decision, Suspicion

PLACES: Final = 3  # decimals kept of scores and probabilities


class Frozen(BaseModel):
    """Immutable, and read back only as it was written."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Place(Frozen):
    """One finding: (column, row) in pixels, its slice in a series, diameter in mm, the classifier's probability, the
    score of the second look, and what the finding by itself counts for in the decision."""

    column: float
    row: float
    slice: int | None
    diameter_mm: float | None
    probability: float | None
    score: float | None
    suspicion: Suspicion | None


class Answer(Frozen):
    """What was said of a slice, a place or a series. `warnings` are the codes of what is said beside it."""

    decision: Decision
    probability: float | None
    reasons: tuple[str, ...]
    warnings: tuple[str, ...]
    findings: tuple[Place, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Judge:
    """A whole service in one object: the networks that answer, under the second look's name.

    `view` asks whether it is a chest at all; None leaves that out.
    """

    name: str
    model: Model
    detector: Detector
    second_look: SecondLook
    view: ViewCheck | None = None

    def on_slice(self, ct_slice: CTSlice, roi_px: PointPx | None = None) -> Prediction:
        """As `POST /v1/predict` judges it."""
        if self.view is not None:
            ct_slice = self.view.remarked(ct_slice)
        return diagnose(ct_slice, roi_px, self.model, self.detector, self.second_look)

    def in_series(self, volume: CTVolume) -> Prediction:
        """As `POST /v1/studies` judges it."""
        if self.view is not None:
            volume = self.view.remarked_volume(volume)
        nothing, never = lambda *_: None, lambda: False
        return diagnose_volume(volume, self.model, self.detector, self.second_look, nothing, never)


def answer_of(prediction: Prediction) -> Answer:
    """What is kept of a prediction."""
    return Answer(
        decision=prediction.decision,
        probability=_rounded(prediction.probability),
        reasons=prediction.reasons,
        warnings=tuple(note.code for note in prediction.quality if note.severity != "info"),
        findings=tuple(_place(finding) for finding in prediction.findings),
    )


def is_suspected(finding: Finding) -> bool:
    """Whether a finding by itself makes its scan suspected."""
    return finding.suspicion == "suspected"


def suspected_of(prediction: Prediction) -> Sequence[Finding]:
    """The findings that make a scan suspected."""
    return [finding for finding in prediction.findings if is_suspected(finding)]


def best_score(findings: Iterable[Finding]) -> float | None:
    """The highest score of the second look, rounded; None without one."""
    scores = [finding.suspicion_score for finding in findings if finding.suspicion_score is not None]
    return _rounded(max(scores, default=None))


def lies_at(finding: Finding, point_px: PointPx, spacing_mm: tuple[float, float], reach_mm: float) -> bool:
    """Whether a finding's outline holds a (column, row) point, or its middle lies no farther than `reach_mm` off."""
    outline = finding.outline_px.astype(np.float32)
    if len(outline) and cv2.pointPolygonTest(outline, point_px, measureDist=False) >= 0:
        return True
    columns, rows = (a - b for a, b in zip(finding.center_px, point_px, strict=True))
    return math.hypot(columns * spacing_mm[1], rows * spacing_mm[0]) <= reach_mm


def findings_at(prediction: Prediction, point_px: PointPx, reach_mm: float) -> Iterator[Finding]:
    """The findings of a slice that lie at a (column, row) point."""
    spacing_mm = prediction.spacing_mm
    return (f for f in prediction.findings if lies_at(f, point_px, spacing_mm, reach_mm))


def _place(finding: Finding) -> Place:
    return Place(
        column=round(finding.center_px[0], 1),
        row=round(finding.center_px[1], 1),
        slice=None if finding.slice is None else finding.slice.index,
        diameter_mm=None if finding.diameter_mm is None else round(finding.diameter_mm, 1),
        probability=_rounded(finding.probability),
        score=_rounded(finding.suspicion_score),
        suspicion=finding.suspicion,
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, PLACES)
