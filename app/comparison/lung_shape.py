"""The lungs of a scan on a coarse grid in patient coordinates, and the grid of the scan itself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.imaging.ct import PointMm, PointPx
from app.imaging.volume import CTVolume
from app.imaging.volume_lungs import segment_volume

SHAPE_MM: Final = 4.0  # a surface of thousands of such voxels lies to a tenth of one
IN_PLANE_STEP: Final = 3  # of the lungs' own pixels, which have a third of SHAPE_MM

Matrix = NDArray[np.float64]
Points = NDArray[np.float64]  # (N, 3)


@dataclass(frozen=True, slots=True, eq=False)
class LungShape:
    """`mask`, boolean (slices, rows, columns), is lung; `to_mm`, (4, 4), leads from its indices to patient mm."""

    mask: NDArray[np.bool_]
    to_mm: Matrix

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Between slices, rows and columns."""
        slices, rows, columns = np.linalg.norm(self.to_mm[:3, :3], axis=0).tolist()
        return slices, rows, columns


@dataclass(frozen=True, slots=True, eq=False)
class ScanGrid:
    """Where the slices of a scan lie: its shape (slices, rows, columns), (4, 4) from indices to patient mm, and the SOP
    Instance UID of each slice."""

    shape: tuple[int, int, int]
    to_mm: Matrix
    instance_uids: tuple[str | None, ...]

    def place_of(self, point_mm: PointMm) -> tuple[int, PointPx] | None:
        """The slice next to a point, and its (column, row) there; None for a point outside the scan."""
        index, row, column = moved(inverse(self.to_mm), np.array([point_mm]))[0].tolist()
        nearest = round(index)
        inside = 0 <= nearest < self.shape[0] and 0 <= row <= self.shape[1] - 1 and 0 <= column <= self.shape[2] - 1
        return (nearest, (column, row)) if inside else None


def scan_grid(volume: CTVolume) -> ScanGrid:
    """The grid of a scan."""
    slices, rows, columns = volume.hu.shape
    return ScanGrid((slices, rows, columns), _to_mm(volume), tuple(s.sop_instance_uid for s in volume.sources))


def lung_shape(volume: CTVolume) -> LungShape | None:
    """The lungs of a scan, of which slices about SHAPE_MM apart are read; None where there are none."""
    step = max(1, round(SHAPE_MM / volume.spacing_mm[0]))
    thinned = volume if len(volume) < 2 * step else _thinned(volume, step)
    lungs = segment_volume(thinned)
    if not lungs.any():
        return None
    mask = np.stack([lungs.work_mask(k)[::IN_PLANE_STEP, ::IN_PLANE_STEP] for k in range(len(lungs))])
    # From every third of the lungs' pixels to the scan's: centres lie as `cv2.resize` places them.
    scales = [n / m for n, m in zip(volume.hu.shape[1:], lungs.work_shape, strict=True)]
    to_pixels = np.diag([1.0, *(IN_PLANE_STEP * scale for scale in scales), 1.0])
    to_pixels[1:3, 3] = [scale / 2 - 0.5 for scale in scales]
    return LungShape(mask, _to_mm(thinned) @ to_pixels)


def moved(matrix: NDArray[np.floating], points: Points) -> Points:
    """(N, 3) points by a (4, 4) matrix."""
    return np.asarray(points @ matrix[:3, :3].T + matrix[:3, 3], np.float64)


def inverse(matrix: Matrix) -> Matrix:
    """The way back."""
    return np.asarray(np.linalg.inv(matrix), np.float64)


def _thinned(volume: CTVolume, step: int) -> CTVolume:
    """Every so many slices of a scan."""
    apart_mm, row_mm, column_mm = volume.spacing_mm
    return replace(
        volume,
        hu=volume.hu[::step],
        spacing_mm=(apart_mm * step, row_mm, column_mm),
        positions_mm=volume.positions_mm[::step],
        sources=volume.sources[::step],
    )


def _to_mm(volume: CTVolume) -> Matrix:
    """From (slice, row, column) to patient mm (PS3.3 C.7.6.2.1.1)."""
    orientation, spacing_mm = volume.orientation, volume.spacing_mm
    matrix = np.eye(4)
    for axis, direction in enumerate((orientation.normal, orientation.column, orientation.row)):
        matrix[:3, axis] = np.multiply(direction, spacing_mm[axis])
    matrix[:3, 3] = volume.positions_mm[0]
    return matrix
