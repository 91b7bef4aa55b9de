"""What guidelines say, in a structured report: a container of its own beside the measurements.

No dictionary has codes for the categories of these guidelines (PS3.16 has them for the breast, the prostate and the
colon alone), so that they are texts under coded names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from highdicom.sr import (
    CodeContentItem,
    ContainerContentItem,
    ContentItem,
    ContentSequence,
    NumContentItem,
    TextContentItem,
    UIDRefContentItem,
)
from pydicom.sr.coding import Code

from app.guidelines.assessment import Assessment, NoduleAssessment, Probability, missing_words
from app.inference.prediction import Finding
from app.reports import codes
from app.reports.figures import percent
from app.reports.report import Report

CONTAINS = "CONTAINS"
DERIVATION = Code("121401", "DCM", "Derivation")


def guidelines_container(report: Report) -> Iterator[ContainerContentItem]:
    """One container, where guidelines were asked: what they were told, and for each what it says of the whole and of
    the findings shown."""
    said = report.guidance
    if said is None:
        return
    told = () if report.deidentified else (_text(codes.KNOWN, fact.words) for fact in said.known)
    yield _container(codes.GUIDELINES, [*told, *(_guideline(report, each) for each in said.assessments)])


def _guideline(report: Report, said: Assessment) -> ContainerContentItem:
    items: list[ContentItem] = [_text(codes.GUIDELINE, said.guideline), _text(codes.GUIDELINE_SOURCE, said.source)]
    if said.reason is not None:
        items.append(_text(codes.NOT_MADE_FOR, said.reason))
    if said.category is not None:
        items.append(_text(codes.ASSESSMENT_CATEGORY, said.category))
    items += [*_possible(said.possible), *_missing(said.missing)]
    shown = {finding.id: finding for finding in report.findings}
    items += [_nodule(report, shown[each.nodule], each) for each in said.nodules if each.nodule in shown]
    items += [_probability(report, shown[each.nodule], each) for each in said.probabilities if each.nodule in shown]
    return _container(codes.GUIDELINE, items)


def _nodule(report: Report, finding: Finding, said: NoduleAssessment) -> ContainerContentItem:
    category, rule = _text(codes.ASSESSMENT_CATEGORY, said.row.category), _text(codes.RULE, said.row.rule)
    return _assessed(report, finding, [category, rule, *_possible(said.possible), *_missing(said.missing)])


def _probability(report: Report, finding: Finding, said: Probability) -> ContainerContentItem:
    """Its own value where it has one, and the ends of its interval as minimum and maximum."""
    told = zip(said.rounded, (None, codes.LOWEST, codes.HIGHEST), strict=True)
    numbers = [_percent(value, derivation) for value, derivation in told if value is not None]
    return _assessed(report, finding, [*numbers, *_missing(said.missing)])


def _percent(probability: float, derivation: Code | None) -> NumContentItem:
    item = NumContentItem(codes.PROBABILITY, percent(probability), codes.PERCENT, relationship_type=CONTAINS)
    if derivation is not None:
        item.ContentSequence = ContentSequence([CodeContentItem(DERIVATION, derivation, "HAS CONCEPT MOD")])
    return item


def _assessed(report: Report, finding: Finding, items: Iterable[ContentItem]) -> ContainerContentItem:
    uid = UIDRefContentItem(codes.TRACKING_UID, report.tracking_uid(finding), CONTAINS)
    return _container(codes.ASSESSED, [_text(codes.TRACKING_IDENTIFIER, f"Finding {finding.id}"), uid, *items])


def _possible(categories: Iterable[str]) -> Iterator[TextContentItem]:
    return (_text(codes.POSSIBLE_CATEGORY, category) for category in categories)


def _missing(missing: Iterable[str]) -> Iterator[TextContentItem]:
    return (_text(codes.MISSING, missing_words(code)) for code in missing)


def _text(name: Code, words: str) -> TextContentItem:
    return TextContentItem(name, words, CONTAINS)


def _container(name: Code, items: Iterable[ContentItem]) -> ContainerContentItem:
    container = ContainerContentItem(name, relationship_type=CONTAINS)
    container.ContentSequence = ContentSequence(list(items))
    return container
