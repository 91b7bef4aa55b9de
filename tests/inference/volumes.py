"""Series built from arithmetic: the chest of `slices`, with spheres in it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from app.imaging.ct import SliceSource
from app.imaging.volume import CTVolume
from tests.inference.slices import AXIAL, chest

PIXEL_MM = 1.4
Sphere = tuple[float, float]  # diameter in mm, HU


def chest_volume(
    spheres: dict[tuple[float, float, float], Sphere] | None = None,
    *,
    slices: int = 16,
    slice_mm: float = 2.5,
    lungs: bool = True,
    whole: bool = False,
) -> CTVolume:
    """`slices` of 256 x 256 pixels of 1.4 mm with the same chest on each, and `spheres`: {(column, row, slice):
    (diameter in mm, HU)}; edges are cut sharply. `whole` lungs end before the
    first slice and the last."""
    hu = np.repeat(chest(lungs=lungs).hu[None], slices, axis=0)
    if whole:
        hu[[0, -1]] = chest(lungs=False).hu
    k, row, column = np.ogrid[:slices, :256, :256]
    for (x, y, z), (diameter_mm, value) in (spheres or {}).items():
        squared = ((k - z) * slice_mm) ** 2 + ((row - y) * PIXEL_MM) ** 2 + ((column - x) * PIXEL_MM) ** 2
        hu[squared <= (diameter_mm / 2) ** 2] = value
    source = SliceSource(kind="dicom", rows=256, columns=256, series_instance_uid="1.2.3", study_instance_uid="1.2")
    return CTVolume(
        hu=hu.astype(np.int16),
        spacing_mm=(slice_mm, PIXEL_MM, PIXEL_MM),
        orientation=AXIAL,
        positions_mm=tuple((-100.0, -50.0, 30.0 + n * slice_mm) for n in range(slices)),
        sources=tuple(replace(source, sop_instance_uid=f"1.2.3.{n}") for n in range(slices)),
    )
