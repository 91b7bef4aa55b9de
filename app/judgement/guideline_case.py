"""A prediction as guidelines see it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from app.guidelines.case import Case, Context, Nodule
from app.guidelines.guidance import Guidance, guidance
from app.imaging.ct import ScanFacts
from app.inference.prediction import Finding, Prediction, Size
from app.inference.series import CUT
from app.judgement.parameters import Parameters

SPICULATED_FROM: Final = 3.5  # of the rating, 1 none to 5 marked
NOT_SPICULATED_BELOW: Final = 2.5


def guidance_on(prediction: Prediction, parameters: Parameters) -> Guidance:
    """What the guidelines of the parameters say of a prediction."""
    return guidance_of(case_of(prediction, parameters.context), parameters)


def guidance_of(case: Case, parameters: Parameters) -> Guidance:
    """What they say of a case."""
    return guidance(case, parameters.context.known(), parameters.guidelines)


def case_of(prediction: Prediction, context: Context) -> Case:
    """A prediction as guidelines see it: findings with an outline. What the client knows goes before the header."""
    series = prediction.series
    notes = {note.code for note in prediction.quality}
    whole = (
        series is not None and series.lungs_ml is not None and CUT not in notes and prediction.decision != "rejected"
    )
    return Case(
        nodules=nodules_of(prediction.findings),
        whole_lungs=whole,
        slice_mm=None if series is None else series.slice_spacing_mm,
        context=_completed(context, prediction.source.facts),
    )


def nodules_of(findings: Iterable[Finding]) -> tuple[Nodule, ...]:
    """Findings as guidelines see them; those without an outline are left out."""
    return tuple(_nodule(f, f.size) for f in findings if f.size is not None)


def _completed(context: Context, facts: ScanFacts) -> Context:
    return replace(
        context,
        age_years=facts.age_years if context.age_years is None else context.age_years,
        sex=facts.sex if context.sex is None else context.sex,
    )


def _nodule(finding: Finding, size: Size) -> Nodule:
    third = finding.location.third
    ratings = {trait.name: trait.value for trait in finding.traits}
    return Nodule(
        id=finding.id,
        mean_mm=size.mean_mm,
        longest_mm=size.longest_mm(),
        volume_mm3=size.volume_mm3,
        classes=size.attenuation.classes,
        solid_mm=size.attenuation.solid_mm,
        upper_lobe=None if third in (None, "middle") else third == "upper",
        spiculated=_spiculated(ratings.get("spiculation")),
        counts=finding.suspicion != "low",
    )


def _spiculated(rating: float | None) -> bool | None:
    if rating is None or NOT_SPICULATED_BELOW <= rating < SPICULATED_FROM:
        return None
    return rating >= SPICULATED_FROM
