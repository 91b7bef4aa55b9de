"""From the findings of a slice or series to one decision, with the rules for leaving it open."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from app.imaging.ct import QualityNote, SliceSource
from app.inference.bundle import Conformal
from app.inference.bundle import Finding as Label
from app.inference.model import Model
from app.inference.prediction import Finding, Prediction, Series, Timing
from app.inference.vocabulary import Decision

OUT_OF_DISTRIBUTION: Final = "out_of_distribution"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the findings of one image amount to; `probability` is None exactly when it is rejected."""

    decision: Decision
    probability: float | None
    prediction_set: tuple[Label, ...]
    reasons: tuple[str, ...]


def decide(probability: float, conformal: Conformal, threshold: float) -> tuple[Decision, tuple[Label, ...]]:
    """Decision and conformal set: decided only where the set holds the one label that the operating point gives."""
    prediction_set = conformal.prediction_set(probability)
    side: Label = "cancer_suspected" if probability >= threshold else "normal"
    return (side if prediction_set == (side,) else "indeterminate"), prediction_set


def conclude(findings: Sequence[Finding], reasons: Sequence[str], model: Model) -> Verdict:
    """One verdict: noisy-or of the findings' probabilities; one that could not be judged bars `normal`.

    `reasons` are those for which nothing may be judged; any makes it `rejected`.
    """
    if reasons:
        return Verdict("rejected", None, (), tuple(dict.fromkeys(reasons)))
    judged = [finding.probability for finding in findings if finding.probability is not None]
    probability = 1 - math.prod(1 - p for p in judged)
    if not findings:
        # Nothing to weigh: the conformal set speaks of nodules, not of their absence.
        return Verdict("normal", probability, ("normal",), ())
    decision, prediction_set = decide(probability, model.manifest.conformal, model.threshold)
    if decision == "normal" and len(judged) < len(findings):
        return Verdict("indeterminate", probability, prediction_set, (OUT_OF_DISTRIBUTION,))
    return Verdict(decision, probability, prediction_set, ())


def predict(
    findings: Sequence[Finding],
    reasons: Sequence[str],
    model: Model,
    *,
    quality: Sequence[QualityNote],
    source: SliceSource,
    spacing_mm: tuple[float, float],
    timing: Timing,
    series: Series | None = None,
) -> Prediction:
    """What `conclude` makes of the findings of one slice or series, with all that is said beside it.

    `spacing_mm` is (between rows, between columns).
    """
    verdict = conclude(findings, reasons, model)
    return Prediction(
        decision=verdict.decision,
        probability=verdict.probability,
        operating_point=model.threshold,
        prediction_set=verdict.prediction_set,
        findings=tuple(findings),
        reasons=verdict.reasons,
        quality=tuple(quality),
        source=source,
        spacing_mm=spacing_mm,
        timing=timing,
        series=series,
    )
