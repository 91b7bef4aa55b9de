"""What guidelines say, in FHIR: an Observation for each, whose members are those on the findings shown.

Categories are texts: no code system that is free to use has them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fhir.resources.R4B.observation import Observation
from pydicom.sr.coding import Code

from app.guidelines.assessment import Assessment, NoduleAssessment, Probability, missing_words
from app.reports import codes
from app.reports.fhir_resources import (
    DATA_ABSENT,
    NOT_APPLICABLE,
    UNKNOWN,
    Addresses,
    checked,
    imaging_observation,
    own_identifier,
)
from app.reports.fhir_values import Json, coding, concept, concept_of, quantity
from app.reports.figures import percent
from app.reports.report import Report


def guideline_observations(report: Report, addresses: Addresses) -> list[Json]:
    """Of each guideline that was asked."""
    said = () if report.guidance is None else report.guidance.assessments
    return [resource for each in said for resource in _observations(report, each, addresses)]


def guideline_addresses(report: Report, addresses: Addresses) -> list[str]:
    """Of the Observations of guidelines as a whole."""
    said = () if report.guidance is None else report.guidance.assessments
    return [addresses.of("guideline", each.guideline) for each in said]


def _observations(report: Report, said: Assessment, addresses: Addresses) -> Iterator[Json]:
    name = said.guideline
    shown = addresses.findings
    members = [_nodule(report, name, each, addresses) for each in said.nodules if each.nodule in shown]
    members += [_probability(report, name, each, addresses) for each in said.probabilities if each.nodule in shown]
    whole = _base(report, addresses, name)
    told = () if report.guidance is None or report.deidentified else (fact.words for fact in report.guidance.known)
    whole["component"] = [
        _text(codes.GUIDELINE_SOURCE, said.source),
        *(_text(codes.NOT_MADE_FOR, reason) for reason in (said.reason,) if reason is not None),
        *_all(codes.KNOWN, told),
        *_all(codes.POSSIBLE_CATEGORY, said.possible),
        *_missing(said.missing),
    ]
    _give(whole, said.category)
    if members:
        whole["hasMember"] = [{"reference": f"urn:uuid:{member['id']}"} for member in members]
    yield checked(Observation, whole)
    yield from members


def _nodule(report: Report, name: str, said: NoduleAssessment, addresses: Addresses) -> Json:
    resource = _base(report, addresses, name, said.nodule)
    _give(resource, said.row.category)
    rule, possible = _text(codes.RULE, said.row.rule), _all(codes.POSSIBLE_CATEGORY, said.possible)
    resource["component"] = [rule, *possible, *_missing(said.missing)]
    return checked(Observation, resource)


def _probability(report: Report, name: str, said: Probability, addresses: Addresses) -> Json:
    resource = _base(report, addresses, name, said.nodule)
    resource["code"] = {"coding": [coding(codes.PROBABILITY)], "text": name}
    value, low, high = (None if each is None else quantity(percent(each), codes.PERCENT) for each in said.rounded)
    if value is None:
        resource["dataAbsentReason"] = concept_of(DATA_ABSENT, *UNKNOWN)
    else:
        resource["valueQuantity"] = value
    components = list(_missing(said.missing))
    if low is not None and high is not None:
        components.append({"code": concept(codes.MODEL_INTERVAL), "valueRange": {"low": low, "high": high}})
    if components:
        resource["component"] = components
    return checked(Observation, resource)


def _base(report: Report, addresses: Addresses, name: str, finding: int | None = None) -> Json:
    """What is common to all; of a finding it derives from its Observation."""
    parts = (name,) if finding is None else (name, finding)
    called = "-".join(map(str, ("guideline", *parts)))
    resource = imaging_observation(report, addresses.of("guideline", *parts), called, addresses)
    resource["code"] = {"coding": [coding(codes.ASSESSMENT_CATEGORY)], "text": name}
    # Beside a prior it says something else, and is another resource.
    resource["identifier"] = [own_identifier(report, " ".join(map(str, (called, *addresses.among))))]
    if finding is not None:
        resource["derivedFrom"] = [{"reference": addresses.findings[finding]}]
    return resource


def _give(resource: Json, category: str | None) -> None:
    if category is None:
        resource["dataAbsentReason"] = concept_of(DATA_ABSENT, *NOT_APPLICABLE)
    else:
        resource["valueCodeableConcept"] = {"text": category}


def _missing(missing: Iterable[str]) -> Iterator[Json]:
    return _all(codes.MISSING, map(missing_words, missing))


def _all(name: Code, texts: Iterable[str]) -> Iterator[Json]:
    return (_text(name, text) for text in texts)


def _text(name: Code, text: str) -> Json:
    return {"code": concept(name), "valueString": text}
