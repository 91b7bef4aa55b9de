"""Asks the guidelines about a judgement, and writes what they say."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Annotated, Final, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict  # pydantic takes this one only before Python 3.12

from app.guidelines.assessment import MISSING, Assessment, NoduleAssessment, Probability
from app.guidelines.case import Case, Context, Nodule
from app.guidelines.register import GUIDELINES
from app.imaging.ct import ScanFacts
from app.inference.prediction import Finding, Prediction, Size
from app.inference.series import CUT
from app.judgement.judge import Judgement
from app.judgement.parameters import Parameters

SPICULATED_FROM: Final = 3.5  # of the rating, 1 none to 5 marked
NOT_SPICULATED_BELOW: Final = 2.5


class MissingOut(TypedDict):
    """Something that was not assessed or is not known."""

    code: str
    message: str


class NoduleAssessmentOut(TypedDict):
    """The row of a table in which one finding falls."""

    finding: Annotated[int, Field(description="id of the finding")]
    counts: Annotated[bool, Field(description="false for a finding of low suspicion: it is not in the category above")]
    category: str
    rule: Annotated[str, Field(description="the row that fired, for a radiologist to read")]
    possible: Annotated[list[str], Field(description="every category that the measurement's interval allows")]
    missing: list[MissingOut]


class ProbabilityOut(TypedDict):
    """What a model gives one finding."""

    finding: Annotated[int, Field(description="id of the finding")]
    counts: Annotated[bool, Field(description="false for a finding of low suspicion")]
    probability: Annotated[float | None, Field(description="null where more than the size is uncertain")]
    interval: Annotated[
        tuple[float, float] | None, Field(description="over all that is not known; null where there is no probability")
    ]
    missing: list[MissingOut]


class GuidelineOut(TypedDict):
    """What one guideline or model says: for a radiologist to read, and no advice to a patient."""

    name: str
    source: str
    applies: bool
    reason: Annotated[str | None, Field(description="why it is not made for such a patient")]
    category: Annotated[
        str | None, Field(description="of the highest finding that counts; null of a model, a slice or a roi")
    ]
    possible: list[str]
    findings: NotRequired[list[NoduleAssessmentOut]]
    probabilities: NotRequired[list[ProbabilityOut]]
    missing: list[MissingOut]


class FactOut(TypedDict):
    """Something known of the patient or the scan, and where from."""

    name: str
    value: int | str | bool
    origin: Annotated[Literal["context", "dicom"], Field(description="the client, or the image's header")]


class GuidelinesOut(TypedDict):
    """What the guidelines that were asked for say, and what they were told."""

    known: list[FactOut]
    assessments: list[GuidelineOut]


def guidelines_out(judgement: Judgement) -> GuidelinesOut:
    """What the guidelines of the parameters say of a judgement."""
    parameters = judgement.parameters
    return answers_of(case_of(judgement.prediction, parameters.context), parameters)


def answers_of(case: Case, parameters: Parameters) -> GuidelinesOut:
    """What the guidelines of the parameters say of a case."""
    told = parameters.context.known()
    return GuidelinesOut(
        known=[
            FactOut(name=name, value=value, origin="context" if name in told else "dicom")
            for name, value in case.context.known().items()
        ],
        assessments=[_assessment(GUIDELINES[name](case)) for name in parameters.guidelines],
    )


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


def _assessment(assessed: Assessment) -> GuidelineOut:
    written = GuidelineOut(
        name=assessed.guideline,
        source=assessed.source,
        applies=assessed.applies,
        reason=assessed.reason,
        category=assessed.category,
        possible=list(assessed.possible),
        missing=_missing(assessed.missing),
    )
    if assessed.nodules:
        written["findings"] = [_of_nodule(each) for each in assessed.nodules]
    if assessed.probabilities:
        written["probabilities"] = [_probability(each) for each in assessed.probabilities]
    return written


def _of_nodule(assessed: NoduleAssessment) -> NoduleAssessmentOut:
    return NoduleAssessmentOut(
        finding=assessed.nodule,
        counts=assessed.counts,
        category=assessed.row.category,
        rule=assessed.row.rule,
        possible=list(assessed.possible),
        missing=_missing(assessed.missing),
    )


def _probability(found: Probability) -> ProbabilityOut:
    known = found.low is not None and found.high is not None
    return ProbabilityOut(
        finding=found.nodule,
        counts=found.counts,
        probability=None if found.value is None else round(found.value, 4),
        interval=(round(found.low or 0.0, 4), round(found.high or 0.0, 4)) if known else None,
        missing=_missing(found.missing),
    )


def _missing(codes: tuple[str, ...]) -> list[MissingOut]:
    return [MissingOut(code=code, message=MISSING[code]) for code in codes]
