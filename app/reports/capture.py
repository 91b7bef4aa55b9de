"""The evidence picture as RGB Secondary Capture (PS3.3 A.8.1), which nearly every viewer shows, in JPEG-LS."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import imagecodecs
import numpy as np
from highdicom.sc import SCImage
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, JPEGLSLossless
from pydicom.valuerep import DSfloat

from app.imaging.ct import Orientation, PointMm
from app.reports.authorship import device, finish, identity
from app.reports.headers import reference
from app.reports.report import DISCLAIMER, Report, ReportedSlice

AXES: Final = (("L", "R"), ("P", "A"), ("H", "F"))  # towards higher and lower x, y, z (PS3.3 C.7.6.1.1.1)
MIN_COSINE: Final = 0.1  # a smaller part of the direction, below 6 degrees, is not worth a letter

Draw = Callable[[Report, ReportedSlice], NDArray[np.uint8]]


def write_captures(report: Report, draw: Draw) -> tuple[Dataset, ...]:
    """The pictures of a report, numbered from 1; where it names no patient, not of a slice that may show one.

    `draw` gives uint8 RGB (rows, columns, 3) that begins with the slice, each of its pixels `n` x `n` of the picture.
    """
    return tuple(write() for write in capture_writers(report, draw))


def capture_writers(report: Report, draw: Draw) -> list[Callable[[], Dataset]]:
    """What writes each picture of `write_captures`: one that fails costs no other."""
    shown = (on for on in report.pictured() if not (report.deidentified and _burned_in(on)))
    return [partial(_capture, report, number, on, draw) for number, on in enumerate(shown, start=1)]


def _capture(report: Report, number: int, shown: ReportedSlice, draw: Draw) -> Dataset:
    rgb = draw(report, shown)
    factor = rgb.shape[1] // shown.image.hu.shape[1]
    source = reference(shown.image, report)
    instance = SCImage.from_ref_dataset(
        source,
        pixel_array=rgb,
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=("L", "P"),  # replaced below, highdicom insists on one
        transfer_syntax_uid=ExplicitVRLittleEndian,
        **identity(report, "capture", shown, shown.index, report.language) | {"instance_number": number},
        **device(report),
    )
    _compress(instance, rgb)
    instance.PatientOrientation = _letters(shown.image.orientation)
    rows_mm, columns_mm = shown.image.spacing_mm
    instance.PixelSpacing = [DSfloat(mm / factor, auto_format=True) for mm in (rows_mm, columns_mm)]
    instance.ImageType = ["DERIVED", "SECONDARY", "OTHER"]
    instance.ConversionType = "WSD"
    instance.BurnedInAnnotation = "YES" if _burned_in(shown) else "NO"  # of the patient's identity: we draw none
    instance.DerivationDescription = f"Evidence, outline and diameter drawn on the slice. {DISCLAIMER}"
    instance.SourceImageSequence = [_source_item(source)]
    return finish(instance, report, shown)


def _compress(instance: Dataset, rgb: NDArray[np.uint8]) -> None:
    """JPEG-LS without loss (PS3.5 A.4.3): a tenth of the bytes, and unlike RLE it makes use of enlarged pixels."""
    instance.PixelData = encapsulate([bytes(imagecodecs.jpegls_encode(np.ascontiguousarray(rgb)))])
    instance["PixelData"].is_undefined_length = True
    instance.file_meta.TransferSyntaxUID = JPEGLSLossless


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
