"""Maps and outlines known in pixels of an image, drawn into the grid of those pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

RectanglePx = tuple[float, float, float, float]
STEPS: Final = 16  # to the pixel, in which an outline is drawn


def spread(
    maps: Sequence[tuple[NDArray[np.float32], RectanglePx]], shape: tuple[int, ...], neutral: float
) -> NDArray[np.float32]:
    """Coarse maps, each (h, w) over a rectangle (left, top, right, bottom), as float32 (rows, columns) of an image.

    Pixel coordinates have 0 at the centre of the first pixel, so the borders of a rectangle of whole pixels lie on
    halves. Linear between the centres of a map's cells, constant from there to its border, `neutral` beyond. Where maps
    overlap, the value further from `neutral` counts.
    """
    image = np.full(shape, neutral, np.float32)
    for values, (left, top, right, bottom) in maps:
        rows, columns = _covered(top, bottom, shape[0]), _covered(left, right, shape[1])
        if not rows.size or not columns.size:
            continue
        cell_rows = (rows - top) / (bottom - top) * values.shape[0] - 0.5
        cell_columns = (columns - left) / (right - left) * values.shape[1] - 0.5
        grid = np.meshgrid(cell_rows, cell_columns, indexing="ij")
        own = map_coordinates(values, grid, order=1, mode="nearest")
        place = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        np.copyto(place, own, where=np.abs(own - neutral) > np.abs(place - neutral))
    return image


def fill(points_px: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """The pixels (rows, columns) of an image whose centre an outline of (N, 2) (column, row) points encloses.

    An outline around no centre is the pixel it lies in.
    """
    mask = np.zeros(shape, np.bool_)
    if not len(points_px):
        return mask
    low, high = np.floor(points_px.min(axis=0)).astype(int), np.ceil(points_px.max(axis=0)).astype(int)
    columns, rows = (high - low).tolist()
    # OpenCV fills every pixel that the border touches, which on the image's own grid would add a pixel all around.
    fine = np.zeros((rows * STEPS + 1, columns * STEPS + 1), np.uint8)
    cv2.fillPoly(fine, [np.round((points_px - low) * STEPS).astype(np.int32)], (1,))
    inside = np.argwhere(fine[::STEPS, ::STEPS])[:, ::-1] + low
    if not len(inside):
        inside = np.round(points_px.mean(axis=0, keepdims=True)).astype(int)
    on_image = ((inside >= 0) & (inside < shape[::-1])).all(axis=1)
    mask[inside[on_image, 1], inside[on_image, 0]] = True
    return mask


def _covered(low: float, high: float, length: int) -> NDArray[np.intp]:
    """Indices of the pixels whose centre lies in [low, high]."""
    return np.arange(max(0, int(np.ceil(low))), min(length - 1, int(np.floor(high))) + 1)
