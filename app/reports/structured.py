"""The structured report: Comprehensive 3D SR, TID 1500 "Measurement Report" (PS3.16)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from highdicom.coding_schemes import CodingSchemeIdentificationItem
from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    Comprehensive3DSR,
    ContainerContentItem,
    ContentSequence,
    FindingSite,
    LanguageOfContentItemAndDescendants,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    SourceImageForMeasurementGroup,
    TextContentItem,
    TrackingIdentifier,
)
from pydicom.dataset import Dataset

from app.imaging.ct import SliceSource
from app.inference.prediction import Finding
from app.reports import codes
from app.reports.authorship import algorithm, finish, identity, observer
from app.reports.finding_groups import Group, comment, finding_groups, probability
from app.reports.guideline_items import guidelines_container
from app.reports.headers import identified, nameless
from app.reports.image_library import image_library
from app.reports.report import MANUFACTURER, Report
from app.reports.source_images import address
from app.reports.summary import remarks, summary

LANGUAGE: Final = CodedConcept("en", "RFC5646", "English")


def write_structured_report(report: Report) -> Dataset:
    """The report of one prediction: a summary, the slices, what guidelines say, a group for the decision, and two for
    every finding shown.

    What was not judged has no number: its probability is the code "measurement not attempted". An indeterminate
    answer's numbers carry the qualifier "value indeterminate".
    """
    first = (summary_container(summary(report)), image_library(report), *guidelines_container(report))
    return write_document(report, first, report_groups(report, algorithm(report)))


def write_document(
    report: Report, first: Sequence[ContainerContentItem], groups: Sequence[Group], *others: Report
) -> Dataset:
    """A document on a report with these containers and measurement groups, which may refer to the series of others."""
    shown, root = report.slices()[0], _root(report, first, groups)
    # highdicom copies, rebuilds and searches its content, two thirds of the time: it is given a root without any.
    bare = ContainerContentItem(root.name, template_id="1500")
    bare.ContentSequence = ContentSequence()
    instance = Comprehensive3DSR(
        evidence=_evidence(report, *others),
        content=bare,
        is_complete=True,
        is_final=False,
        is_verified=False,
        coding_schemes=_schemes(),
        **identity(report, "sr", shown, *(other.instance_uid("sr") for other in others)),
    )
    instance.ContentSequence = root.ContentSequence
    return finish(instance, report, shown, image=False)


def report_groups(report: Report, made_by: AlgorithmIdentification) -> list[Group]:
    """A group for the decision, and those of the findings shown."""
    groups: list[Group] = [_decision_group(report, made_by)]
    for finding, source in sources_of(report):
        groups += finding_groups(report, source, finding, made_by)
    return groups


def sources_of(report: Report) -> list[tuple[Finding, SliceSource]]:
    """The findings shown, each with the slice on which it is largest."""
    sources = {finding.id: on.source for on in report.slices() for finding in on.findings}
    return [(finding, sources[finding.id]) for finding in report.findings]


def _root(report: Report, first: Sequence[ContainerContentItem], groups: Sequence[Group]) -> Dataset:
    """The content of a document; TID 1500 may be extended, and its images stand before the measurements."""
    (root,) = MeasurementReport(
        observation_context=ObservationContext(observer_device_context=observer(report)),
        procedure_reported=codes.CT_CHEST,
        imaging_measurements=groups,
        language_of_content_item_and_descendants=LanguageOfContentItemAndDescendants(LANGUAGE),
    )
    items = root.ContentSequence
    for container in first:
        items.insert(len(items) - 1, container)
    return root


def summary_container(lines: Iterable[str]) -> ContainerContentItem:
    """Sentences at the beginning."""
    container = ContainerContentItem(codes.SUMMARY, relationship_type="CONTAINS")
    container.ContentSequence = ContentSequence([TextContentItem(codes.CONCLUSION, line, "CONTAINS") for line in lines])
    return container


def _decision_group(report: Report, made_by: AlgorithmIdentification) -> MeasurementsAndQualitativeEvaluations:
    prediction, manifest = report.prediction, report.bundle.manifest
    measurements, evaluations = probability(report, prediction.probability)
    group = MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(report.instance_uid("sr", "decision"), "Decision"),
        finding_type=codes.decision_code(prediction.decision, manifest),
        finding_sites=[FindingSite(codes.LUNG)],
        algorithm_id=made_by,
        measurements=measurements,
        qualitative_evaluations=evaluations,
        source_images=[SourceImageForMeasurementGroup(*address(shown.source)) for shown in report.slices()],
    )
    group[0].ContentSequence.extend([comment(f"{note.code}: {note.message}") for note in remarks(report)])
    return group


def _evidence(report: Report, *others: Report) -> list[Dataset]:
    """All sources, a multi-frame image once; of the first highdicom wants the patient as well."""
    sources = [source for each in (report, *others) for source in each.sources]
    first, *rest = {source.sop_instance_uid: source for source in sources}.values()
    return [nameless(first), *map(identified, rest)]


def _schemes() -> list[CodingSchemeIdentificationItem]:
    """What the private designators stand for (PS3.3 C.12.1)."""
    return [
        CodingSchemeIdentificationItem(
            codes.LIDC_SCHEME, name=codes.LIDC_SCHEME_NAME, responsible_organization="QIICR"
        ),
        CodingSchemeIdentificationItem(
            codes.OWN_SCHEME, name=codes.OWN_SCHEME_NAME, responsible_organization=MANUFACTURER
        ),
    ]
