"""A whole slice as a few pixels, for a network that asks what kind of picture it is."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from app.imaging.ct import AIR_HU, FloatImage

SAMPLED_PX: Final = 192  # of the longer side, before pixels are averaged: averaging all of them takes ten times as long


def thumbnail(hu: NDArray[np.float32] | NDArray[np.int16], spacing_mm: tuple[float, float], size_px: int) -> FloatImage:
    """The slice in square pixels with its longer side `size_px`, in the middle of air: float32 (size_px, size_px)."""
    step = max(1, max(hu.shape) // SAMPLED_PX)
    sampled = np.ascontiguousarray(hu[::step, ::step], np.float32)
    sides_mm = [count * mm for count, mm in zip(sampled.shape, spacing_mm, strict=True)]
    rows, columns = (max(1, round(size_px * side / max(sides_mm))) for side in sides_mm)
    small = cv2.resize(sampled, (columns, rows), interpolation=cv2.INTER_AREA)
    square = np.full((size_px, size_px), AIR_HU, np.float32)
    top, left = (size_px - rows) // 2, (size_px - columns) // 2
    square[top : top + rows, left : left + columns] = small
    return square
