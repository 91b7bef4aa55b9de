"""The evidence as DICOM Parametric Map (PS3.3 A.75), on the pixels of the source."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from highdicom import CoordinateSystemNames, PixelMeasuresSequence, PlanePositionSequence, VOILUTTransformation
from highdicom.pm import ParametricMap, RealWorldValueMapping
from pydicom.dataset import Dataset

from app.imaging.ct import CTSlice
from app.inference.prediction import NEUTRAL_EVIDENCE, Finding, evidence_on
from app.reports import codes
from app.reports.authorship import device, finish, identity
from app.reports.headers import decimal, has_place, references
from app.reports.report import DISCLAIMER, Report, ReportedSlice

Window = tuple[slice, slice]


def write_evidence_map(report: Report) -> Dataset | None:
    """Evidence 0-1 on every slice with a judged finding, NEUTRAL_EVIDENCE elsewhere; None when nothing was judged
    or its place is unknown.

    Of each slice there is the rectangle that holds the evidence of all slices: the rest says nothing, and the values
    cannot be compressed.
    """
    shown = [on for on in report.slices() if has_place(on.image, report) and _judged(on.findings)]
    if not shown or report.prediction.decision == "rejected":
        return None
    window = _window(shown)
    instance = ParametricMap(
        source_images=references([on.image for on in shown], report),
        pixel_array=np.stack([evidence_on(on.findings, on.image.hu.shape)[window] for on in shown]),
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[_mapping()],
        voi_lut_transformations=[VOILUTTransformation(window_center=NEUTRAL_EVIDENCE, window_width=1.0)],
        pixel_measures=PixelMeasuresSequence(
            pixel_spacing=decimal(shown[0].image.spacing_mm), slice_thickness=decimal([report.thickness_mm or 0.0])[0]
        ),
        plane_positions=[_position(on.image, window) for on in shown],
        content_label="EVIDENCE",
        content_description=f"Evidence. {DISCLAIMER}"[:64],
        **identity(report, "map", shown[0]),
        **device(report),
    )
    instance.SharedFunctionalGroupsSequence[0].FrameAnatomySequence = [_anatomy(shown)]
    return finish(instance, report, shown[0])


def _judged(findings: Sequence[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.probability is not None]


def _mapping() -> RealWorldValueMapping:
    return RealWorldValueMapping(
        lut_label="1",
        lut_explanation="Class activation: above 0.5 speaks for suspicion",
        unit=codes.NO_UNITS,
        value_range=(0.0, 1.0),
        slope=1.0,
        intercept=0.0,
        quantity_definition=codes.CLASS_ACTIVATION,
    )


def _window(shown: Sequence[ReportedSlice]) -> Window:
    """Rows and columns that hold the evidence of all findings, one pixel at least."""
    rectangles = [f.evidence.rectangle_px for on in shown for f in _judged(on.findings)]
    lefts, tops, rights, bottoms = zip(*rectangles, strict=True)
    rows, columns = shown[0].image.hu.shape
    return _span(min(tops), max(bottoms), rows), _span(min(lefts), max(rights), columns)


def _span(low: float, high: float, length: int) -> slice:
    first = min(max(0, math.floor(low)), length - 1)
    return slice(first, max(first, min(length - 1, math.ceil(high))) + 1)


def _position(image: CTSlice, window: Window) -> PlanePositionSequence:
    """Of the first pixel of the rectangle."""
    rows, columns = window
    corner_mm = image.to_patient_mm((float(columns.start), float(rows.start)))
    if corner_mm is None:
        raise ValueError("a slice without a place has no map")
    return PlanePositionSequence(CoordinateSystemNames.PATIENT, image_position=decimal(corner_mm))


def _anatomy(shown: Sequence[ReportedSlice]) -> Dataset:
    """Frame Anatomy (PS3.3 C.7.6.16.2.8): dcmqi reads no map without it."""
    sides = {finding.location.side for on in shown for finding in _judged(on.findings)}
    (side,) = sides if len(sides) == 1 else (None,)
    item = Dataset()
    item.AnatomicRegionSequence = [codes.item(codes.LUNG)]
    item.FrameLaterality = "B" if side is None else side[0].upper()
    return item
