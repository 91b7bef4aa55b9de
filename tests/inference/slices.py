"""Slices built from arithmetic, for the use case."""

from __future__ import annotations

import numpy as np

from app.imaging.ct import CTSlice, Orientation, SliceSource

SOFT_HU, LUNG_HU = 40.0, -850.0
AXIAL = Orientation((1, 0, 0), (0, 1, 0))
CORONAL = Orientation((1, 0, 0), (0, 0, -1))


def chest(
    nodules: dict[tuple[int, int], tuple[float, float]] | None = None,
    *,
    orientation: Orientation | None = AXIAL,
    thickness_mm: float | None = 2.5,
    lungs: bool = True,
) -> CTSlice:
    """A 256 x 256 slice of 1.4 mm pixels: a body of soft tissue in air, two lungs, a bone at (128, 180), and
    `nodules`: {(column, row): (diameter in mm, HU)}."""
    rows, columns = np.mgrid[:256, :256].astype(np.float32)

    def ellipse(
        column: float, row: float, width: float, height: float
    ) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        return np.asarray(((columns - column) / width) ** 2 + ((rows - row) / height) ** 2 <= 1)

    hu = np.full((256, 256), -1000, np.float32)
    hu[ellipse(128, 128, 115, 80)] = SOFT_HU
    if lungs:
        hu[ellipse(75, 125, 40, 60) | ellipse(181, 125, 40, 60)] = LUNG_HU
    hu[ellipse(128, 180, 12, 10)] = 500
    for (column, row), (diameter_mm, value) in (nodules or {}).items():
        hu[ellipse(column, row, diameter_mm / 2.8, diameter_mm / 2.8)] = value
    source = SliceSource(kind="array", rows=256, columns=256)
    return CTSlice(
        hu=hu,
        spacing_mm=(1.4, 1.4),
        source=source,
        orientation=orientation,
        position_mm=(-100.0, -50.0, 30.0),
        thickness_mm=thickness_mm,
    )
