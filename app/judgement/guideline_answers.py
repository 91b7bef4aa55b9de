"""Writes what the guidelines say."""

from __future__ import annotations

from typing import Annotated, NotRequired

from pydantic import Field
from typing_extensions import TypedDict  # pydantic takes this one only before Python 3.12

from app.guidelines.assessment import MISSING, Assessment, NoduleAssessment, Probability
from app.guidelines.guidance import Guidance, Origin


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
    origin: Annotated[Origin, Field(description="the client, or the image's header")]


class GuidelinesOut(TypedDict):
    """What the guidelines that were asked for say, and what they were told."""

    known: list[FactOut]
    assessments: list[GuidelineOut]


def guidelines_out(said: Guidance) -> GuidelinesOut:
    """What the guidelines that were asked for say."""
    return GuidelinesOut(
        known=[FactOut(name=fact.name, value=fact.value, origin=fact.origin) for fact in said.known],
        assessments=[_assessment(each) for each in said.assessments],
    )


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
    value, low, high = found.rounded
    return ProbabilityOut(
        finding=found.nodule,
        counts=found.counts,
        probability=value,
        interval=None if low is None or high is None else (low, high),
        missing=_missing(found.missing),
    )


def _missing(codes: tuple[str, ...]) -> list[MissingOut]:
    return [MissingOut(code=code, message=MISSING[code]) for code in codes]
