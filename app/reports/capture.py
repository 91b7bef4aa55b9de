"""The evidence picture as RGB Secondary Capture (PS3.3 A.8.1), which nearly every viewer shows."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import numpy as np
from highdicom.sc import SCImage
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian
from pydicom.valuerep import DSfloat

from app.imaging.ct import Orientation, PointMm
from app.reports.authorship import device, finish, identity
from app.reports.headers import reference
from app.reports.report import DISCLAIMER, Report, ReportedSlice

AXES: Final = (("L", "R"), ("P", "A"), ("H", "F"))  # towards higher and lower x, y, z (PS3.3 C.7.6.1.1.1)
MIN_COSINE: Final = 0.1  # a smaller part of the direction, below 6 degrees, is not worth a letter

Draw = Callable[[Report, ReportedSlice], NDArray[np.uint8]]


def write_captures(report: Report, draw: Draw) -> tuple[Dataset, ...]:
    """One picture for every slice that the report shows; where it names no patient, not of a slice that may show one.

    `draw` gives uint8 RGB (rows, columns, 3) that begins with the slice, each of its pixels `n` x `n` of the picture.
    """
    return tuple(write() for write in capture_writers(report, draw))


def capture_writers(report: Report, draw: Draw) -> list[Callable[[], Dataset]]:
    """What writes each picture of `write_captures`: one that fails costs no other."""
    shown = (on for on in report.slices() if not (report.deidentified and _burned_in(on)))
    return [partial(_capture, report, on, draw) for on in shown]


def _capture(report: Report, shown: ReportedSlice, draw: Draw) -> Dataset:
    rgb = draw(report, shown)
    factor = rgb.shape[1] // shown.image.hu.shape[1]
    source = reference(shown, report)
    instance = SCImage.from_ref_dataset(
        source,
        pixel_array=rgb,
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=("L", "P"),  # replaced below, highdicom insists on one
        transfer_syntax_uid=ExplicitVRLittleEndian,
        **identity(report, "capture", shown, shown.index, report.language),
        **device(report),
    )
    instance.PatientOrientation = _letters(shown.image.orientation)
    rows_mm, columns_mm = shown.image.spacing_mm
    instance.PixelSpacing = [DSfloat(mm / factor, auto_format=True) for mm in (rows_mm, columns_mm)]
    instance.ImageType = ["DERIVED", "SECONDARY", "OTHER"]
    instance.ConversionType = "WSD"
    instance.BurnedInAnnotation = "YES" if _burned_in(shown) else "NO"  # of the patient's identity: we draw none
    instance.DerivationDescription = f"Evidence, outline and diameter drawn on the slice. {DISCLAIMER}"
    instance.SourceImageSequence = [_source_item(source)]
    return finish(instance, report, shown)


def _burned_in(shown: ReportedSlice) -> bool:
    """Whether the source says that its pixels identify the patient (PS3.3 C.7.6.1)."""
    return bool(shown.header.dataset.get("BurnedInAnnotation") == "YES")


def _source_item(source: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = source.SOPClassUID, source.SOPInstanceUID
    return item


def _letters(orientation: Orientation | None) -> list[str]:
    if orientation is None:
        return []
    return [_direction(orientation.row), _direction(orientation.column)]


def _direction(cosines: PointMm) -> str:
    order = np.argsort(-np.abs(cosines))
    return "".join(AXES[axis][cosines[axis] < 0] for axis in order if abs(cosines[axis]) >= MIN_COSINE)
