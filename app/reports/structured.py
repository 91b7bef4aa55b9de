"""The structured report: Comprehensive 3D SR, TID 1500 "Measurement Report" (PS3.16)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeVar

import numpy as np
from highdicom.coding_schemes import CodingSchemeIdentificationItem
from highdicom.sr import (
    CodedConcept,
    Comprehensive3DSR,
    DeviceObserverIdentifyingAttributes,
    FindingSite,
    ImageRegion,
    LanguageOfContentItemAndDescendants,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    SourceImageForMeasurementGroup,
    SourceImageForRegion,
    TextContentItem,
    TrackingIdentifier,
)
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage

from app.imaging.ct import SliceSource
from app.inference.prediction import Finding, Trait
from app.inference.vocabulary import DECISION_WORDS
from app.reports import codes
from app.reports.authorship import algorithm, finish, identity
from app.reports.headers import nameless
from app.reports.report import DISCLAIMER, MANUFACTURER, Report, standing

DEVICE: Final = CodedConcept("121007", "DCM", "Device")
LANGUAGE: Final = CodedConcept("en", "RFC5646", "English")
CENTRE_TO_CORNER: Final = 0.5  # SCOORD counts from the corner of the first pixel, we from its centre (PS3.3 C.18.6.1)

G = TypeVar("G", PlanarROIMeasurementsAndQualitativeEvaluations, MeasurementsAndQualitativeEvaluations)
Group = PlanarROIMeasurementsAndQualitativeEvaluations | MeasurementsAndQualitativeEvaluations


def write_structured_report(report: Report) -> Dataset:
    """The report of one prediction: a group for the decision, and one for every finding.

    What was not judged has no number: its probability is the code "measurement not attempted". An indeterminate
    answer's numbers carry the qualifier "value indeterminate".
    """
    shown = report.slices()
    groups: list[Group] = [_decision_group(report)]
    found = sorted(((finding, on.source) for on in shown for finding in on.findings), key=lambda pair: pair[0].id)
    groups += [_finding_group(report, source, finding) for finding, source in found]
    content = MeasurementReport(
        observation_context=ObservationContext(observer_device_context=_observer(report)),
        procedure_reported=codes.CT_CHEST,
        imaging_measurements=groups,
        language_of_content_item_and_descendants=LanguageOfContentItemAndDescendants(LANGUAGE),
    )
    instance = Comprehensive3DSR(
        evidence=_evidence(report),
        content=content,
        is_complete=True,
        is_final=False,
        is_verified=False,
        coding_schemes=[_lidc_scheme()],
        **identity(report, "sr", shown[0]),
    )
    return finish(instance, report, shown[0], image=False)


def _decision_group(report: Report) -> MeasurementsAndQualitativeEvaluations:
    prediction, manifest = report.prediction, report.bundle.manifest
    measurements, evaluations = _probability(report, prediction.probability)
    group = MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(report.instance_uid("sr", "decision"), "Decision"),
        finding_type=codes.decision_code(prediction.decision, manifest),
        finding_sites=[FindingSite(codes.LUNG)],
        algorithm_id=algorithm(report),
        measurements=measurements,
        qualitative_evaluations=evaluations,
        source_images=[SourceImageForMeasurementGroup(*_address(shown.source)) for shown in report.slices()],
    )
    notes = (f"{note.code}: {note.message}" for note in report.notes if note.severity != "info")
    return _commented(group, [_words(report), DISCLAIMER, *notes])


def _words(report: Report) -> str:
    prediction = report.prediction
    words = DECISION_WORDS[prediction.decision]["en"]
    return f"{words} ({', '.join(prediction.reasons)})." if prediction.reasons else f"{words}."


def _finding_group(report: Report, source: SliceSource, finding: Finding) -> Group:
    measurements, evaluations = _probability(report, finding.probability)
    if finding.diameter_mm is not None:
        measurements.append(Measurement(codes.DIAMETER, finding.diameter_mm, codes.MILLIMETRE))
    for trait in finding.traits:
        _add_trait(trait, measurements, evaluations)
    group = PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(report.tracking_uid(finding), f"Finding {finding.id}"),
        referenced_region=_region(finding, source),
        finding_type=codes.NODULE,
        finding_sites=[FindingSite(codes.LUNG)],
        algorithm_id=algorithm(report),
        measurements=measurements,
        qualitative_evaluations=evaluations,
    )
    counts = standing(finding)
    return group if counts is None else _commented(group, [counts])


def _probability(report: Report, probability: float | None) -> tuple[list[Measurement], list[QualitativeEvaluation]]:
    if probability is None or report.prediction.decision == "rejected":
        return [], [QualitativeEvaluation(codes.PROBABILITY, codes.NOT_ATTEMPTED)]
    left_open = codes.VALUE_INDETERMINATE if report.prediction.decision == "indeterminate" else None
    return [Measurement(codes.PROBABILITY, probability * 100, codes.PERCENT, qualifier=left_open)], []


def _add_trait(trait: Trait, measurements: list[Measurement], evaluations: list[QualitativeEvaluation]) -> None:
    """The rating as a number, and the nearest of the scale's words; a trait without a concept is left out."""
    concept, rating = codes.TRAITS.get(trait.name), codes.rating_code(trait)
    if concept is not None and rating is not None:
        measurements.append(Measurement(concept, trait.value, codes.NO_UNITS))
        evaluations.append(QualitativeEvaluation(concept, rating))


def _region(finding: Finding, source: SliceSource) -> ImageRegion:
    """The outline, closed; the centre where there is none."""
    points = _within(finding.outline_px, source)
    image = SourceImageForRegion(*_address(source))
    if len(np.unique(points, axis=0)) < 3:
        return ImageRegion("POINT", _within(np.array([finding.center_px]), source), image)
    return ImageRegion("POLYLINE", np.concatenate([points, points[:1]]), image)


def _within(points_px: NDArray[np.float64], source: SliceSource) -> NDArray[np.float64]:
    """(N, 2) points counted from the corner of the first pixel, those beyond the image moved to its border."""
    return np.clip(points_px + CENTRE_TO_CORNER, 0, (source.columns, source.rows))


def _address(source: SliceSource) -> tuple[str, str, list[int] | None]:
    """SOP class, SOP instance and, for one of several frames, its number."""
    frames = None if source.frame is None else [source.frame]
    return source.sop_class_uid or CTImageStorage, source.sop_instance_uid or "", frames


def _evidence(report: Report) -> list[Dataset]:
    """All sources, as highdicom wants them; a multi-frame image once."""
    return [nameless(source) for source in {s.sop_instance_uid: s for s in report.sources}.values()]


def _observer(report: Report) -> ObserverContext:
    manifest = report.bundle.manifest
    attributes = DeviceObserverIdentifyingAttributes(
        uid=report.device_uid,
        name=MANUFACTURER,
        manufacturer_name=MANUFACTURER,
        model_name=f"{manifest.name} {manifest.version}",
        serial_number=report.bundle.digest.removeprefix("sha256:")[:32],
    )
    return ObserverContext(observer_type=DEVICE, observer_identifying_attributes=attributes)


def _lidc_scheme() -> CodingSchemeIdentificationItem:
    """What the private designator stands for (PS3.3 C.12.1)."""
    return CodingSchemeIdentificationItem(
        codes.LIDC_SCHEME, name=codes.LIDC_SCHEME_NAME, responsible_organization="QIICR"
    )


def _commented(group: G, comments: Iterable[str]) -> G:
    for comment in comments:
        group[0].ContentSequence.append(TextContentItem(codes.COMMENT, comment, "CONTAINS"))
    return group
