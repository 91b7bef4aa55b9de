"""From what was found at a place, on a slice or in a series to one decision, with the rules for leaving it open.

One set of rules for all three: a score of the second look is held against the point of the scan, the classifier may
object, and a remark that something cannot be seen bars `normal`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from app.imaging.ct import QualityNote, SliceSource
from app.inference.conformal import Conformal
from app.inference.conformal import Finding as Label
from app.inference.model import Model
from app.inference.prediction import Finding, Prediction, Series, Timing
from app.inference.suspicion import ScanPoint
from app.inference.vocabulary import Decision, Suspicion

OUT_OF_DISTRIBUTION: Final = "out_of_distribution"
NEAR_OPERATING_POINT: Final = "near_operating_point"
BOTH: Final[tuple[Label, ...]] = ("cancer_suspected", "normal")
RANK: Final[dict[Suspicion | None, int]] = {"suspected": 2, "open": 1, "low": 0, None: 0}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the findings of one image amount to; `probability` is None where it rests on no probability of a finding."""

    decision: Decision
    probability: float | None
    prediction_set: tuple[Label, ...]
    reasons: tuple[str, ...]


def errors_of(notes: Sequence[QualityNote]) -> tuple[str, ...]:
    """The codes for which nothing may be judged."""
    return tuple(note.code for note in notes if note.severity == "error")


def bars_of(notes: Sequence[QualityNote]) -> tuple[str, ...]:
    """The codes for which the decision may not be `normal`."""
    return tuple(dict.fromkeys(note.code for note in notes if note.bars_normal))


def decide(
    probability: float, soft_diameter_mm: float, conformal: Conformal, threshold: float
) -> tuple[Decision, tuple[Label, ...]]:
    """Decision and conformal set: decided only where the set holds the one label that the operating point gives."""
    prediction_set = conformal.prediction_set(probability, soft_diameter_mm)
    side: Label = "cancer_suspected" if probability >= threshold else "normal"
    return (side if prediction_set == (side,) else "indeterminate"), prediction_set


def is_dismissed(finding: Finding, model: Model) -> bool:
    """Whether the classifier judged it and does not take it for a nodule."""
    return finding.probability is not None and finding.nodule_probability < model.manifest.nodule_threshold


def suspicion_of(score: float, finding: Finding, point: ScanPoint, model: Model) -> Suspicion:
    """What a finding with this score counts for; against the classifier's word none is more than `open`."""
    if score < point.open_from:
        return "low"
    if score < point.suspected_from or is_dismissed(finding, model) or _is_normal(finding, model):
        return "open"
    return "suspected"


def _is_normal(finding: Finding, model: Model) -> bool:
    p, size_mm = finding.probability, finding.soft_diameter_mm
    return p is not None and decide(p, size_mm, model.manifest.conformal, model.threshold)[0] == "normal"


def reject(reasons: Sequence[str]) -> Verdict:
    """Nothing is said, for these reasons."""
    return Verdict("rejected", None, (), tuple(dict.fromkeys(reasons)))


def conclude_nodule(probability: float, soft_diameter_mm: float, notes: Sequence[QualityNote], model: Model) -> Verdict:
    """The verdict on one nodule that was pointed at, from the classifier alone."""
    decision, prediction_set = decide(probability, soft_diameter_mm, model.manifest.conformal, model.threshold)
    reasons = (NEAR_OPERATING_POINT,) if decision == "indeterminate" else ()
    if decision != "cancer_suspected":
        reasons = (*reasons, *bars_of(notes))
    return Verdict("indeterminate" if reasons else decision, probability, prediction_set, reasons)


def conclude_scan(findings: Sequence[Finding], notes: Sequence[QualityNote]) -> Verdict:
    """The verdict on a slice or series, from the finding that weighs most.

    Its probability is that finding's: of a finding that counts for nothing the scan says none. `normal` needs that
    nothing bars it, and that no finding was left unjudged.
    """
    leading = leading_of(findings)
    probability = None if leading is None else leading.probability
    if leading is not None and leading.suspicion == "suspected":
        return Verdict("cancer_suspected", probability, ("cancer_suspected",), ())
    reasons = [NEAR_OPERATING_POINT] if leading is not None else []
    reasons += bars_of(notes)
    if any(finding.probability is None for finding in findings):
        reasons.append(OUT_OF_DISTRIBUTION)
    if reasons:
        return Verdict("indeterminate", probability, BOTH, tuple(dict.fromkeys(reasons)))
    return Verdict("normal", None, ("normal",), ())


def leading_of(findings: Sequence[Finding]) -> Finding | None:
    """The one that weighs most; None where none counts."""
    counted = [finding for finding in findings if RANK[finding.suspicion]]
    return max(counted, key=weight) if counted else None


def weight(finding: Finding) -> tuple[int, float]:
    """More for what weighs more in the decision."""
    return RANK[finding.suspicion], finding.suspicion_score or 0.0


def predict(
    verdict: Verdict,
    findings: Sequence[Finding],
    model: Model,
    *,
    point: ScanPoint | None,
    quality: Sequence[QualityNote],
    source: SliceSource,
    spacing_mm: tuple[float, float],
    timing: Timing,
    series: Series | None = None,
) -> Prediction:
    """The verdict on the findings of one slice or series, with all that is said beside it.

    `spacing_mm` is (between rows, between columns); `point` is what scores were held against, None where there are
    none.
    """
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
        point=point,
        series=series,
    )
