"""A finding in a structured report: its outline with where it lies, and its axes with all that was measured.

Two measurement groups of one tracking UID: TID 1410 has the outline, which highdicom and dcmqi read. Readers on dcmjs
take coordinates from inside a NUM alone, which TID 1410 does not allow, so the axes and all else are in a TID 1501.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from highdicom.sr import (
    AlgorithmIdentification,
    ContentSequence,
    CoordinatesForMeasurement,
    FindingSite,
    ImageRegion,
    Measurement,
    MeasurementsAndQualitativeEvaluations,
    NumContentItem,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    SourceImageForRegion,
    TextContentItem,
    TimePointContext,
    TrackingIdentifier,
)
from numpy.typing import NDArray
from pydicom.sr.coding import Code

from app.imaging.ct import SliceSource
from app.imaging.lung_frame import Location
from app.inference.prediction import Finding, Measured, Size
from app.reports import codes
from app.reports.figures import margins, percent, significant
from app.reports.report import Report, standing
from app.reports.source_images import address
from app.reports.summary import location

# By this dcmjs and OHIF know the tool that draws what was measured; they compare it letter by letter.
BIDIRECTIONAL: Final = "cornerstoneTools@^4.0.0:Bidirectional"
CENTRE_TO_CORNER: Final = 0.5  # SCOORD counts from the corner of the first pixel, we from its centre (PS3.3 C.18.6.1)

Outline = PlanarROIMeasurementsAndQualitativeEvaluations
Axes = MeasurementsAndQualitativeEvaluations
Group = Outline | Axes
Said = tuple[list[Measurement], list[QualitativeEvaluation]]


def finding_groups(
    report: Report, source: SliceSource, finding: Finding, algorithm: AlgorithmIdentification
) -> list[Group]:
    """The group of the outline, and where there are axes theirs: each thing is said in one of them."""
    said = _said(report, source, finding)
    if finding.size is None:
        return [_outline_group(report, source, finding, algorithm, said)]
    area = _outline_group(report, source, finding, algorithm, ([_area(finding.size)], []))
    return [area, _axes_group(report, finding, said)]


def prior_group(
    report: Report, source: SliceSource, finding: Finding, algorithm: AlgorithmIdentification, time: TimePointContext
) -> Outline:
    """A finding of a prior series, all in one group without lines: viewers make measurements of the current one's."""
    measurements, evaluations = _said(report, source, finding, lines=False)
    if finding.size is not None:
        measurements.append(_area(finding.size))
    return _outline_group(report, source, finding, algorithm, (measurements, evaluations), time)


def _outline_group(
    report: Report,
    source: SliceSource,
    finding: Finding,
    algorithm: AlgorithmIdentification,
    said: Said,
    time: TimePointContext | None = None,
) -> Outline:
    name = _name(finding) if time is None else f"{_name(finding)} of the prior series"
    group = Outline(
        tracking_identifier=TrackingIdentifier(report.tracking_uid(finding), name),
        time_point_context=time,
        referenced_region=_region(finding, source),
        finding_type=codes.NODULE,
        finding_sites=[finding_site(finding.location)],
        algorithm_id=algorithm,
        measurements=said[0],
        qualitative_evaluations=said[1],
    )
    words, counts = f"{name}: {location(report, finding)}.", standing(finding)
    group[0].ContentSequence.append(comment(words if counts is None else f"{words} {counts}"))
    return group


def _axes_group(report: Report, finding: Finding, said: Said) -> Axes:
    group = Axes(
        tracking_identifier=TrackingIdentifier(report.tracking_uid(finding), BIDIRECTIONAL),
        finding_type=codes.NODULE,
        finding_sites=[finding_site(finding.location)],
        measurements=said[0],
        qualitative_evaluations=said[1],
    )
    group[0].ContentSequence.append(comment(_name(finding)))  # what OHIF writes beside the axes
    return group


def _name(finding: Finding) -> str:
    return f"Finding {finding.id}"


def probability(report: Report, value: float | None) -> Said:
    """A probability 0-1 as a number in percent, or the code for none."""
    if value is None or report.prediction.decision == "rejected":
        return [], [QualitativeEvaluation(codes.PROBABILITY, codes.NOT_ATTEMPTED)]
    left_open = codes.VALUE_INDETERMINATE if report.prediction.decision == "indeterminate" else None
    return [Measurement(codes.PROBABILITY, percent(value), codes.PERCENT, qualifier=left_open)], []


def comment(words: str) -> TextContentItem:
    """A sentence for whoever reads the report."""
    return TextContentItem(codes.COMMENT, words, "CONTAINS")


def _area(size: Size) -> Measurement:
    return Measurement(codes.AREA, significant(size.area_mm2), codes.SQUARE_MILLIMETRE)


def _said(report: Report, source: SliceSource, finding: Finding, *, lines: bool = True) -> Said:
    """All but the area: the axes first, long before short, for readers take the first two numbers."""
    size = finding.size
    measurements, evaluations = probability(report, finding.probability)
    if size is not None:
        measurements = [*_axes(size, source, lines=lines), *measurements, *_sizes(size)]
        evaluations.append(
            QualitativeEvaluation(codes.ATTENUATION_CLASS, codes.ATTENUATIONS[size.attenuation.classes[0]])
        )
    for trait in finding.traits:
        concept, rating = codes.TRAITS.get(trait.name), codes.rating_code(trait)
        if concept is not None and rating is not None:
            evaluations.append(QualitativeEvaluation(concept, rating))
    return measurements, evaluations


def _axes(size: Size, source: SliceSource, *, lines: bool) -> Iterator[Measurement]:
    axes = size.axes
    for concept, length_mm, ends in (
        (codes.LONG_AXIS, axes.long_mm, axes.long_px),
        (codes.SHORT_AXIS, axes.short_mm, axes.short_px),
    ):
        image = SourceImageForRegion(*address(source))
        line = CoordinatesForMeasurement("POLYLINE", _within(np.array(ends), source), image)
        drawn = [line] if lines else None
        yield Measurement(concept, significant(length_mm), codes.MILLIMETRE, referenced_coordinates=drawn)


def _sizes(size: Size) -> Iterator[Measurement]:
    yield _with_margins(codes.DIAMETER, size.mean_mm, codes.MILLIMETRE, codes.MEAN)
    if size.volume_mm3 is not None:
        yield _with_margins(codes.VOLUME, size.volume_mm3, codes.CUBIC_MILLIMETRE)
    yield Measurement(codes.MEDIAN_ATTENUATION, significant(size.attenuation.median_hu), codes.HOUNSFIELD)
    if size.attenuation.solid_mm is not None:
        yield _with_margins(codes.SOLID_PART, size.attenuation.solid_mm, codes.MILLIMETRE)


def _with_margins(concept: Code, measured: Measured, unit: Code, derivation: Code | None = None) -> Measurement:
    """A measurement with its interval, in its own unit (TID 310)."""
    measurement = Measurement(concept, significant(measured.value), unit, derivation=derivation)
    own = measurement[0].get("ContentSequence", ContentSequence())
    for name, reach in zip((codes.BELOW, codes.ABOVE), margins(measured), strict=True):
        own.append(NumContentItem(name, reach, unit, relationship_type="HAS PROPERTIES"))
    measurement[0].ContentSequence = own
    return measurement


def finding_site(place: Location) -> FindingSite:
    """The lobe, marked as an estimate, or the lung, and the side."""
    site = codes.site_code(place)
    side = None if place.side is None else codes.SIDES[place.side]
    return FindingSite(site, side, None if site == codes.LUNG else codes.ESTIMATE)


def _region(finding: Finding, source: SliceSource) -> ImageRegion:
    """The outline, closed; the centre where there is none."""
    points = _within(finding.outline_px, source)
    image = SourceImageForRegion(*address(source))
    if len(np.unique(points, axis=0)) < 3:
        return ImageRegion("POINT", _within(np.array([finding.center_px]), source), image)
    return ImageRegion("POLYLINE", np.concatenate([points, points[:1]]), image)


def _within(points_px: NDArray[np.float64], source: SliceSource) -> NDArray[np.float64]:
    """(N, 2) points counted from the corner of the first pixel, those beyond the image moved to its border."""
    return np.clip(points_px + CENTRE_TO_CORNER, 0, (source.columns, source.rows))
