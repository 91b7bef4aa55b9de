"""A CT series in Hounsfield units: its slices in spatial order, held once, with the geometry of each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.imaging.ct import (
    MAX_SPACING_MM,
    MIN_SPACING_MM,
    CTSlice,
    Orientation,
    PointMm,
    PointPx,
    QualityNote,
    SliceSource,
)

ShortVolume = NDArray[np.int16]
Positions = NDArray[np.float64]  # (slices, 3) in patient millimetres
MIN_SLICES: Final = 2  # a distance between slices needs two


def heights_mm(positions: Positions, orientation: Orientation) -> NDArray[np.float64]:
    """(slices,) position of each slice along the slice normal."""
    return np.asarray(positions @ np.asarray(orientation.normal), np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class CTVolume:
    """One CT series.

    `hu` is int16 (slices, rows, columns) in Hounsfield units and read-only; a slice's index is 0-based along the
    slice normal (`orientation.normal`), so for an axial series it grows towards the head. `spacing_mm` is (between
    slices, between rows, between columns); `positions_mm` holds the centre of the first pixel of each slice (Image
    Position (Patient), PS3.3 C.7.6.2.1.1) and `sources` where each came from. `notes` holds what had to be assumed.

    Raises ValueError when the parts do not fit together.
    """

    hu: ShortVolume
    spacing_mm: tuple[float, float, float]
    orientation: Orientation
    positions_mm: tuple[PointMm, ...]
    sources: tuple[SliceSource, ...]
    notes: tuple[QualityNote, ...] = field(default=())

    def __post_init__(self) -> None:
        if self.hu.ndim != 3 or self.hu.dtype != np.int16:
            raise ValueError(f"hu must be an int16 volume, not {self.hu.dtype} with {self.hu.ndim} axes")
        slices = self.hu.shape[0]
        if slices < MIN_SLICES or not slices == len(self.positions_mm) == len(self.sources):
            raise ValueError(f"{slices} slices, {len(self.positions_mm)} positions and {len(self.sources)} sources")
        if any((source.rows, source.columns) != self.hu.shape[1:] for source in self.sources):
            raise ValueError("a source has another size than the volume")
        if self.spacing_mm[0] <= 0 or not all(MIN_SPACING_MM <= s <= MAX_SPACING_MM for s in self.spacing_mm[1:]):
            raise ValueError(f"not a spacing in mm: {self.spacing_mm}")
        if (np.diff(self.heights_mm) <= 0).any():
            raise ValueError("the slices are not in the order of their positions along the normal")
        self.hu.setflags(write=False)

    def __len__(self) -> int:
        """Number of slices."""
        return int(self.hu.shape[0])

    @property
    def heights_mm(self) -> NDArray[np.float64]:
        """(slices,) position of each slice along the normal."""
        return heights_mm(np.asarray(self.positions_mm, np.float64), self.orientation)

    def slice_at(self, index: int) -> CTSlice:
        """One slice as `CTSlice` (its pixels copied to float32); raises IndexError."""
        return CTSlice(
            hu=self.hu[index].astype(np.float32),
            spacing_mm=self.spacing_mm[1:],
            source=self.sources[index],
            orientation=self.orientation,
            position_mm=self.positions_mm[index],
            thickness_mm=None,
        )

    def to_patient_mm(self, index: int, point_px: PointPx) -> PointMm:
        """(column, row) on slice `index` to (x, y, z) in patient millimetres (PS3.3 C.7.6.2.1.1)."""
        across = np.asarray(self.orientation.row) * point_px[0] * self.spacing_mm[2]
        down = np.asarray(self.orientation.column) * point_px[1] * self.spacing_mm[1]
        x, y, z = (np.asarray(self.positions_mm[index]) + across + down).tolist()
        return (x, y, z)
