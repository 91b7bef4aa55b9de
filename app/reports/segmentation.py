"""The outlines as DICOM Segmentation (PS3.3 A.51): a segment for every finding shown that has one, in their order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from highdicom.color import CIELabColor
from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentationTypeValues, SegmentDescription
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from app.imaging.raster import fill
from app.inference.prediction import Finding
from app.reports import codes
from app.reports.authorship import algorithm_sequence, device, finish, identity
from app.reports.headers import has_place, references
from app.reports.report import DISCLAIMER, Report

# Okabe and Ito 2008, apart under every common colour blindness; the first finding's first, then over again.
COLOURS: Final = ((213, 94, 0), (240, 228, 66), (86, 180, 233), (0, 158, 115), (204, 121, 167), (230, 159, 0))

Points = NDArray[np.float64]


def write_segmentation(report: Report) -> Dataset | None:
    """The pixels that the outlines of each finding cover, on all slices on which it was outlined; None when there is no
    outline or no place for it.

    A pixel in the outlines of two findings is that of the finding that comes first.
    """
    placed = {f.id: _outlines(report, f) for f in report.findings}
    indices = sorted({index for outlines in placed.values() for index in outlines})
    planes = _planes(report, placed, indices)
    seen = [f for f in report.findings if (planes == f.id).any()]
    if not seen:
        return None
    numbers = np.zeros(max(f.id for f in report.findings) + 1, np.uint16)
    numbers[[f.id for f in seen]] = np.arange(1, len(seen) + 1)
    (first, *_) = report.slices()
    instance = Segmentation(
        source_images=references([report.image_at(index) for index in indices], report),
        pixel_array=numbers[planes],
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=[_segment(report, number, finding) for number, finding in enumerate(seen, start=1)],
        content_label="NODULES",
        content_description=f"Outlines of nodules. {DISCLAIMER}"[:64],
        **identity(report, "segmentation", first),
        **device(report),
    )
    return finish(instance, report, first)


def _outlines(report: Report, finding: Finding) -> Mapping[int, Points]:
    """Outlines by the index of their slice, where it is known what the slice shows."""
    own = {report.index_of(finding): finding.outline_px}
    others = {outline.index: outline.points_px for outline in finding.outlines}
    return {
        index: points
        for index, points in (others | own).items()
        if len(points) and has_place(report.image_at(index), report)
    }


def _planes(report: Report, placed: Mapping[int, Mapping[int, Points]], indices: Sequence[int]) -> NDArray[np.uint16]:
    """uint16 (slices, rows, columns): the number of the finding to which a pixel belongs, 0 for none."""
    rows, columns = report.image_at(indices[0]).hu.shape if indices else (0, 0)
    planes = np.zeros((len(indices), rows, columns), np.uint16)
    place = {index: n for n, index in enumerate(indices)}
    for number in reversed(list(placed)):
        for index, points in placed[number].items():
            planes[place[index]][fill(points, (rows, columns))] = number
    return planes


def _segment(report: Report, number: int, finding: Finding) -> SegmentDescription:
    return SegmentDescription(
        segment_number=number,
        segment_label=f"Finding {finding.id}",
        segmented_property_category=codes.MORPHOLOGICAL_ABNORMALITY,
        segmented_property_type=codes.NODULE,
        algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=algorithm_sequence(report),
        tracking_uid=report.tracking_uid(finding),
        tracking_id=f"Finding {finding.id}",
        anatomic_regions=[codes.LUNG],
        display_color=CIELabColor.from_rgb(*COLOURS[(number - 1) % len(COLOURS)]),
    )
