"""What else a picture might have looked like: another field of view, turned, mirrored, padded, on another scale."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from app.imaging.ct import AIR_HU, FloatImage
from app.imaging.picture import DEFAULT_WINDOW
from training.sight.views import View

ANGLE_DEG: Final = 5.0  # standard deviation, beside whole quarter turns
ZOOM: Final = (0.85, 1.03)
SHIFT_PX: Final = 1.5
STRETCHED: Final = 0.3  # of pictures whose pixels are not square, or not known to be
TIGHT: Final = 0.4  # of pictures cut close to the body: a reconstruction of the chest alone
MARGIN: Final = (-0.10, 0.15)  # of the body's width around it, there
WINDOWED: Final = 0.15
SCALE_NOISE: Final = (0.07, 40.0)  # slope and intercept in HU


def variant(view: View, size_px: int, rng: np.random.Generator) -> FloatImage:
    """float32 (size_px, size_px) in HU."""
    hu = view.hu.astype(np.float32)
    if rng.random() < TIGHT:
        hu = _tight(hu, rng)
    if view.kind in ("coronal", "sagittal"):
        hu = _part(hu, 0.5, rng)
        if rng.random() < STRETCHED:
            hu = _stretched(hu, rng.uniform(0.3, 1.0))
    elif rng.random() < STRETCHED:
        hu = _stretched(hu, rng.uniform(0.85, 1.15))
    return _on_another_scale(_placed(hu, size_px, rng), rng)


def noise(size_px: int, rng: np.random.Generator) -> FloatImage:
    """Blobs of one size or a fan of them: no CT, as from an ultrasound."""
    coarse = rng.normal(size=(int(rng.choice([3, 6, 12, 24, 48])),) * 2).astype(np.float32)
    hu = cv2.resize(coarse, (size_px, size_px), interpolation=cv2.INTER_CUBIC)
    hu = hu * rng.uniform(100, 700) + rng.uniform(-900, 0)
    if rng.random() < 0.5:
        rows, columns = np.mgrid[:size_px, :size_px]
        hu[np.abs(columns - size_px / 2) > rows * rng.uniform(0.4, 1.2) + 3] = DEFAULT_WINDOW.low_hu
    return np.ascontiguousarray(np.rot90(hu, int(rng.integers(4))), np.float32)


def _tight(hu: FloatImage, rng: np.random.Generator) -> FloatImage:
    """Cut around the body, in one direction or both."""
    body = hu > -500
    for axis in (0, 1):
        shown = np.flatnonzero(body.mean(axis=1 - axis) > 0.08)
        if len(shown) < 16 or rng.random() < 0.3:
            continue
        low, high = int(shown[0]), int(shown[-1])
        first, last = (rng.uniform(*MARGIN) * (high - low) for _ in range(2))
        cut = slice(max(0, int(low - first)), int(high + last) + 1)
        hu, body = (hu[cut], body[cut]) if axis == 0 else (hu[:, cut], body[:, cut])
    return hu


def _part(hu: FloatImage, least: float, rng: np.random.Generator) -> FloatImage:
    """A part of a picture, anywhere in it."""
    rows, columns = (max(8, int(side * rng.uniform(least, 1.0))) for side in hu.shape)
    top, left = rng.integers(0, hu.shape[0] - rows + 1), rng.integers(0, hu.shape[1] - columns + 1)
    return hu[top : top + rows, left : left + columns]


def _stretched(hu: FloatImage, factor: float) -> FloatImage:
    rows, columns = hu.shape
    return np.asarray(cv2.resize(hu, (columns, max(8, int(rows * factor))), interpolation=cv2.INTER_AREA), np.float32)


def _placed(hu: FloatImage, size_px: int, rng: np.random.Generator) -> FloatImage:
    """Turned, mirrored, moved and shrunken into the middle of air."""
    rows, columns = hu.shape
    zoom = size_px / max(rows, columns) * rng.uniform(*ZOOM)
    turn = float(rng.normal(0, ANGLE_DEG) + 90 * rng.integers(4))
    to = cv2.getRotationMatrix2D(((columns - 1) / 2, (rows - 1) / 2), turn, zoom)
    moved = (size_px - 1) / 2 - np.array([columns - 1, rows - 1]) / 2 + rng.normal(0, SHIFT_PX, 2)
    to = np.column_stack([to[:, :2], to[:, 2] + moved])
    # What one pixel of the result averages.
    width = max(1, round(1 / zoom))
    placed = cv2.warpAffine(
        cv2.blur(hu, (width, width)), to, (size_px, size_px), flags=cv2.INTER_LINEAR, borderValue=AIR_HU
    )
    return np.ascontiguousarray(placed[:, :: rng.choice([-1, 1])], np.float32)


def _on_another_scale(hu: FloatImage, rng: np.random.Generator) -> FloatImage:
    drawn = rng.random()
    if drawn < WINDOWED:
        width, centre = rng.uniform(350, 2200), rng.uniform(-700, 100)
        values = np.clip((hu - (centre - width / 2)) / width, 0, 1)
        hu = np.asarray(DEFAULT_WINDOW.low_hu + DEFAULT_WINDOW.width_hu * values, np.float32)
    elif drawn < 0.5:
        hu = hu * np.float32(rng.normal(1, SCALE_NOISE[0])) + np.float32(rng.normal(0, SCALE_NOISE[1]))
    if rng.random() < 0.3:
        return np.asarray(hu + rng.normal(0, rng.uniform(5, 60), hu.shape), np.float32)
    return hu
