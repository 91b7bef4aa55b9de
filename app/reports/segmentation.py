"""The outlines as DICOM Segmentation (PS3.3 A.51): a segment for every finding that has one."""

from __future__ import annotations

import numpy as np
from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentationTypeValues, SegmentDescription
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from app.imaging.raster import fill
from app.inference.prediction import Finding
from app.reports import codes
from app.reports.authorship import algorithm_sequence, device, finish, identity
from app.reports.headers import has_place, reference
from app.reports.report import DISCLAIMER, Report, ReportedSlice


def write_segmentation(report: Report) -> Dataset | None:
    """The pixels that each finding's outline covers, on the slice it belongs to; None when there is no outline
    or no place for it."""
    outlined = [
        (on, f, fill(f.outline_px, on.image.hu.shape))
        for on in report.slices()
        if has_place(on, report)
        for f in on.findings
    ]
    outlined = [(on, finding, mask) for on, finding, mask in outlined if mask.any()]
    if not outlined:
        return None
    shown = sorted({on.index: on for on, _, _ in outlined}.values(), key=lambda on: on.index)
    instance = Segmentation(
        source_images=[reference(on, report) for on in shown],
        pixel_array=_planes(shown, [(on, mask) for on, _, mask in outlined]),
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=[_segment(report, n, finding) for n, (_, finding, _) in enumerate(outlined, start=1)],
        content_label="NODULES",
        content_description=f"Outlines of nodules. {DISCLAIMER}"[:64],
        **identity(report, "segmentation", shown[0]),
        **device(report),
    )
    return finish(instance, report, shown[0])


def _planes(shown: list[ReportedSlice], masks: list[tuple[ReportedSlice, NDArray[np.bool_]]]) -> NDArray[np.uint8]:
    """uint8 (slices, rows, columns, segments)."""
    rows, columns = shown[0].image.hu.shape
    planes = np.zeros((len(shown), rows, columns, len(masks)), np.uint8)
    place = {on.index: n for n, on in enumerate(shown)}
    for segment, (on, mask) in enumerate(masks):
        planes[place[on.index], :, :, segment] = mask
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
    )
