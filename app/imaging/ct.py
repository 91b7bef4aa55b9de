"""A CT slice in Hounsfield units: pixels, scale and orientation in one object that cannot be built without them.

Axes are (row, column) = (y, x) throughout; points are (column, row) in pixels of the sent image, with 0 at
the centre of the first pixel; millimetres are DICOM patient coordinates (PS3.3 C.7.6.2.1.1).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

FloatImage = NDArray[np.float32]
PointPx = tuple[float, float]
PointMm = tuple[float, float, float]
SourceKind = Literal["dicom", "png", "jpeg", "tiff", "array"]
Severity = Literal["info", "warning", "error"]

MIN_SPACING_MM = 0.1  # micro-CT begins below; no clinical scanner writes it
MAX_SPACING_MM = 3.0  # a 512-pixel slice would be 1.5 m wide
COSINE_TOLERANCE = 1e-3  # DICOM's decimal strings carry at least this much

AIR_HU = -1024.0  # what scanners without padding write outside their field of view


@dataclass(frozen=True, slots=True)
class QualityNote:
    """One remark about a slice: a stable `code`, how much it matters, and a sentence without patient data.

    Beside one that `bars_normal` the decision is not `normal`: something may lie where nobody can see it.
    """

    code: str
    severity: Severity
    message: str
    bars_normal: bool = False


@dataclass(frozen=True, slots=True)
class Orientation:
    """Direction cosines of the rows (towards higher columns) and of the columns (towards higher rows).

    Source: Image Orientation (Patient), PS3.3 C.7.6.2.1.1. Raises ValueError unless both are unit vectors
    at right angles.
    """

    row: PointMm
    column: PointMm

    def __post_init__(self) -> None:
        defects = (math.hypot(*self.row) - 1, math.hypot(*self.column) - 1, _dot(self.row, self.column))
        # Written so that what is no number is refused too.
        if not all(abs(defect) <= COSINE_TOLERANCE * 2 for defect in defects):
            raise ValueError("orientation is not a pair of perpendicular unit vectors")

    @property
    def normal(self) -> PointMm:
        """Unit vector perpendicular to the slice, in patient coordinates."""
        (a, b, c), (d, e, f) = self.row, self.column
        x, y, z = b * f - c * e, c * d - a * f, a * e - b * d
        # Cosines rounded to four digits would tilt an axial slice by half a degree.
        length = math.hypot(x, y, z)
        return (x / length, y / length, z / length)

    @property
    def tilt_deg(self) -> float:
        """Angle in degrees (0-90) between the normal and the patient's z axis; 0 is axial."""
        return math.degrees(math.acos(min(1.0, abs(self.normal[2]))))


@dataclass(frozen=True, slots=True)
class ScanFacts:
    """What a header says of how a slice was made and of whom: facts for the answer to the caller, never for logs.

    `kernel` is Convolution Kernel, `thickness_mm` Slice Thickness, `age_years` Patient's Age. None where unstated.
    """

    kernel: str | None = None
    thickness_mm: float | None = None
    age_years: int | None = None
    sex: Literal["male", "female"] | None = None


@dataclass(frozen=True, slots=True)
class SliceSource:
    """Where a slice came from. UIDs and accession number are for the answer to the caller, never for logs."""

    kind: SourceKind
    rows: int
    columns: int
    frame: int | None = None
    sop_class_uid: str | None = None
    sop_instance_uid: str | None = None
    series_instance_uid: str | None = None
    study_instance_uid: str | None = None
    frame_of_reference_uid: str | None = None
    manufacturer: str | None = None
    accession_number: str | None = None
    facts: ScanFacts = field(default_factory=ScanFacts)


@dataclass(frozen=True, slots=True, eq=False)
class CTSlice:
    """One CT slice.

    `hu` is float32 (rows, columns) in Hounsfield units and read-only; `spacing_mm` is (between rows,
    between columns) as in Pixel Spacing (PS3.3 10.7.1.3). `orientation` and `position_mm` (centre of the first
    pixel) are None when the source does not state them. `notes` holds what had to be assumed while reading.

    Raises ValueError when the parts do not fit together.
    """

    hu: FloatImage
    spacing_mm: tuple[float, float]
    source: SliceSource
    orientation: Orientation | None = None
    position_mm: PointMm | None = None
    thickness_mm: float | None = None
    notes: tuple[QualityNote, ...] = field(default=())

    def __post_init__(self) -> None:
        if self.hu.ndim != 2 or self.hu.dtype != np.float32:
            raise ValueError(f"hu must be a float32 image, not {self.hu.dtype} with {self.hu.ndim} axes")
        if self.hu.shape != (self.source.rows, self.source.columns):
            raise ValueError(f"hu is {self.hu.shape}, its source {self.source.rows} x {self.source.columns}")
        if not all(MIN_SPACING_MM <= s <= MAX_SPACING_MM for s in self.spacing_mm):
            raise ValueError(f"spacing must be {MIN_SPACING_MM} to {MAX_SPACING_MM} mm, not {self.spacing_mm}")
        self.hu.setflags(write=False)

    def contains(self, point_px: PointPx) -> bool:
        """Whether a (column, row) point lies on the image, pixel borders included."""
        column, row = point_px
        rows, columns = self.hu.shape
        return bool(-0.5 <= column <= columns - 0.5 and -0.5 <= row <= rows - 0.5)

    def to_patient_mm(self, point_px: PointPx) -> PointMm | None:
        """(column, row) in pixels to (x, y, z) in patient millimetres (PS3.3 C.7.6.2.1.1), or None if unknown."""
        if self.orientation is None or self.position_mm is None:
            return None
        column, row = point_px
        along_row = column * self.spacing_mm[1]
        along_column = row * self.spacing_mm[0]
        x, y, z = (
            origin + along_row * r + along_column * c
            for origin, r, c in zip(self.position_mm, self.orientation.row, self.orientation.column, strict=True)
        )
        return (x, y, z)


def _dot(one: PointMm, other: PointMm) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))
