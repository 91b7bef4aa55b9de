"""Lungs of arithmetic: two ellipsoids, a heart's dent in one of them, at any pose."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from app.comparison.lung_shape import LungShape, Matrix, inverse, moved

# Middle and half axes in mm, (x, y, z): the patient's right lung, the left one, and the heart.
RIGHT: Final = ((-75.0, 0.0, 0.0), (55.0, 85.0, 120.0))
LEFT: Final = ((72.0, 5.0, -6.0), (50.0, 80.0, 115.0))
HEART: Final = ((30.0, -45.0, -55.0), (45.0, 40.0, 50.0))


def pose(rotation_deg: tuple[float, float, float], shift_mm: tuple[float, float, float]) -> Matrix:
    """(4, 4): a rotation about these axes together, then a shift."""
    matrix = np.eye(4)
    matrix[:3, :3], _ = cv2.Rodrigues(np.radians(rotation_deg))
    matrix[:3, 3] = shift_mm
    return matrix


def lungs_at(
    matrix: Matrix,
    spacing_mm: tuple[float, float, float] = (4.0, 4.0, 4.0),
    heights_mm: tuple[float, float] = (-180, 180),
) -> LungShape:
    """The lungs at a pose, on an axial grid between two heights."""
    slice_mm, row_mm, column_mm = spacing_mm
    shape = (round((heights_mm[1] - heights_mm[0]) / slice_mm), round(320 / row_mm), round(380 / column_mm))
    to_mm = np.eye(4)
    to_mm[:3, :3] = np.diag([column_mm, row_mm, slice_mm])[:, ::-1]
    to_mm[:3, 3] = (-190.0, -160.0, heights_mm[0])
    places = moved(to_mm, np.indices(shape).reshape(3, -1).T.astype(np.float64))
    return LungShape(_inside(moved(inverse(matrix), places)).reshape(shape), to_mm)


def _inside(points_mm: NDArray[np.float64]) -> NDArray[np.bool_]:
    right, left, heart = (
        (((points_mm - middle) / half_axes) ** 2).sum(axis=1) <= 1 for middle, half_axes in (RIGHT, LEFT, HEART)
    )
    return np.asarray(right | (left & ~heart), np.bool_)
