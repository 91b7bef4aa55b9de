"""The structured report of a comparison: TID 1500 on the current series, with what has become of each nodule since the
prior one.

The current findings are written as in a report on their series alone. Beside them stands a group for each finding of
the prior series, on its images, and one for the change, all of one tracking UID (PS3.16 TID 1501, its time points
TID 1502). PS3.16 has a concept for a difference in size and none for a volume doubling time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from highdicom.sr import (
    AlgorithmIdentification,
    ContainerContentItem,
    ContentItem,
    ContentSequence,
    LongitudinalTemporalOffsetFromEvent,
    Measurement,
    MeasurementsAndQualitativeEvaluations,
    NumContentItem,
    QualitativeEvaluation,
    SourceImageForMeasurementGroup,
    TextContentItem,
    TimePointContext,
    TrackingIdentifier,
    UIDRefContentItem,
)
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from app.comparison.compare import Nodule
from app.comparison.growth import OpenInterval
from app.reports import codes
from app.reports.authorship import algorithm
from app.reports.compared import ComparedReport, NumberedNodule, comparison_summary, nodule_words
from app.reports.figures import significant
from app.reports.finding_groups import Group, comment, finding_site, prior_group
from app.reports.guideline_items import guidelines_container
from app.reports.image_library import image_library
from app.reports.report import Report
from app.reports.source_images import address
from app.reports.structured import report_groups, sources_of, summary_container, write_document
from app.reports.summary import decision_words

CONTAINS: Final = "CONTAINS"
CURRENT, PRIOR = "current", "prior"  # time points


def write_comparison_report(compared: ComparedReport) -> Dataset:
    """The document, in the study of the current series."""
    current, prior = compared.current, compared.prior
    made_by = algorithm(current)
    first = (
        summary_container(comparison_summary(compared)),
        _comparison(compared),
        image_library(current, prior),
        *guidelines_container(current),
    )
    groups = [*report_groups(current, made_by), *_prior_groups(compared), *_changes(compared, made_by)]
    return write_document(current, first, groups, prior)


def _comparison(compared: ComparedReport) -> ContainerContentItem:
    """With which series, and what to bear in mind."""
    source, comparison = compared.prior.sources[0], compared.comparison
    uids = ((codes.STUDY_UID, source.study_instance_uid), (codes.SERIES_UID, source.series_instance_uid))
    items: list[ContentItem] = [UIDRefContentItem(name, uid, CONTAINS) for name, uid in uids if uid is not None]
    interval, alignment = comparison.interval, comparison.alignment
    if interval.days is not None:
        days = NumContentItem(codes.DAYS_BETWEEN, interval.days, codes.DAY, relationship_type=CONTAINS)
        items += [days, comment(f"Days between both by {interval.source}.")]
    if alignment is not None:
        items.append(comment(f"Overlap of the lungs, laid over each other: {alignment.overlap:.2f}."))
    now, before = comparison.left_out
    items.append(comment(f"Prior series: {decision_words(compared.prior)}"))
    items.append(comment(f"Findings of low suspicion without partner: {now} current, {before} prior."))
    items += [comment(f"{note.code}: {note.message}") for note in comparison.notes]
    container = ContainerContentItem(codes.COMPARISON, relationship_type=CONTAINS)
    container.ContentSequence = ContentSequence(items)
    return container


def _prior_groups(compared: ComparedReport) -> Iterator[Group]:
    prior, time = compared.prior, _time_point(compared, PRIOR)
    made_by = algorithm(prior)
    for finding, source in sources_of(prior):
        yield prior_group(prior, source, finding, made_by, time)


def _time_point(compared: ComparedReport, name: str) -> TimePointContext:
    """The prior series is the baseline (TID 1502)."""
    days = 0 if name == PRIOR else compared.comparison.interval.days
    offset = None if days is None else LongitudinalTemporalOffsetFromEvent(days, codes.DAY, codes.BASELINE)
    return TimePointContext(name, temporal_offset_from_event=offset)


def _changes(compared: ComparedReport, made_by: AlgorithmIdentification) -> Iterator[Group]:
    time = _time_point(compared, CURRENT)
    for each in compared.nodules:
        yield _change_group(compared, each, made_by, time)


def _change_group(
    compared: ComparedReport, numbered: NumberedNodule, made_by: AlgorithmIdentification, time: TimePointContext
) -> MeasurementsAndQualitativeEvaluations:
    nodule = numbered.nodule
    finding = nodule.current or nodule.prior
    group = MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(numbered.tracking_uid, f"Nodule {numbered.number}: change"),
        time_point_context=time,
        finding_type=codes.NODULE,
        finding_sites=[] if finding is None else [finding_site(finding.location)],
        algorithm_id=made_by,
        measurements=list(_measurements(nodule)),
        qualitative_evaluations=list(_evaluations(nodule)),
        source_images=list(_images(compared, nodule)),
    )
    group[0].ContentSequence.extend([comment(nodule_words(numbered)), *_texts(compared.current, nodule)])
    return group


def _images(compared: ComparedReport, nodule: Nodule) -> Iterator[SourceImageForMeasurementGroup]:
    """The slices on which it is largest, of both series."""
    for report, finding in ((compared.current, nodule.current), (compared.prior, nodule.prior)):
        if finding is not None:
            source = report.image_at(report.index_of(finding)).source
            yield SourceImageForMeasurementGroup(*address(source))


def _measurements(nodule: Nodule) -> Iterator[Measurement]:
    if nodule.change is not None:
        yield _open(codes.SIZE_DIFFERENCE, nodule.change.share.times(100), codes.PERCENT, codes.OF_VOLUMES)
    if nodule.doubling is not None:
        yield _open(codes.DOUBLING_TIME, nodule.doubling.rounded, codes.DAY)


def _open(concept: Code, measured: OpenInterval, unit: Code, method: Code | None = None) -> Measurement:
    """A measurement with the ends of its interval that are not open, as distances from it (TID 310)."""
    measurement = Measurement(concept, significant(measured.value), unit, method=method)
    own = measurement[0].get("ContentSequence", ContentSequence())
    for name, end in ((codes.BELOW, measured.low), (codes.ABOVE, measured.high)):
        if end is not None:
            reach = significant(abs(measured.value - end))
            own.append(NumContentItem(name, reach, unit, relationship_type="HAS PROPERTIES"))
    if own:
        measurement[0].ContentSequence = own
    return measurement


def _evaluations(nodule: Nodule) -> Iterator[QualitativeEvaluation]:
    yield QualitativeEvaluation(codes.VERDICT, codes.VERDICTS[nodule.verdict])
    for verdict in () if nodule.change is None else nodule.change.possible:
        yield QualitativeEvaluation(codes.POSSIBLE_VERDICT, codes.VERDICTS[verdict])


def _texts(current: Report, nodule: Nodule) -> Iterator[ContentItem]:
    """Codes of the answer that no dictionary has, and what the results of the current series call its finding."""
    told = [(codes.PACE, pace) for pace in (() if nodule.doubling is None else nodule.doubling.paces)]
    for name, word in (*told, (codes.NO_DOUBLING, nodule.no_doubling), (codes.NOT_COMPARED, nodule.reason)):
        if word is not None:
            yield TextContentItem(name, word, CONTAINS)
    if nodule.current is not None and nodule.looked_in != CURRENT:
        yield UIDRefContentItem(codes.OWN_TRACKING_UID, current.own_tracking_uid(nodule.current), CONTAINS)
