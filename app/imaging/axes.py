"""Long and short axis of an outline, as a radiologist measures a nodule."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from app.imaging.ct import PointPx

Points = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Axes:
    """Lengths in mm and ends, (column, row) in pixels of the image, of the longest line across an outline and of the
    longest one at right angles to it (Bankier et al. 2017, doi 10.1148/radiol.2017162894)."""

    long_mm: float
    short_mm: float
    long_px: tuple[PointPx, PointPx]
    short_px: tuple[PointPx, PointPx]

    @property
    def mean_mm(self) -> float:
        """Half the sum of both axes."""
        return (self.long_mm + self.short_mm) / 2


def axes_of(outline_px: Points, spacing_mm: tuple[float, float], grain_mm: float = 0.0) -> Axes:
    """Axes of a closed outline of one point or more, (N, 2) column, row, on pixels of (row, column) `spacing_mm`.

    Dents are bridged, as by a caliper. `grain_mm` is added to both lengths: it is the size of the pixels whose centres
    the outline joins, of which it leaves out half at each end.
    """
    pixel_mm = np.array([spacing_mm[1], spacing_mm[0]])
    points_mm = (outline_px * pixel_mm + 0.0).astype(np.float32)  # around 0 and -0 alone OpenCV finds no hull
    hull = np.asarray(cv2.convexHull(points_mm)[:, 0], np.float64)
    columns_mm, rows_mm = hull.T
    apart = np.square(columns_mm[:, None] - columns_mm) + np.square(rows_mm[:, None] - rows_mm)
    ends = hull[list(divmod(int(apart.argmax()), len(hull)))]
    long_mm = float(np.hypot(*(ends[1] - ends[0])))
    along = (ends[1] - ends[0]) / long_mm if long_mm > 0 else np.array([1.0, 0.0])
    turned = (hull - ends[0]) @ np.array([along, (-along[1], along[0])]).T
    at, low, high = _widest(turned)
    across = np.array([-along[1], along[0]])
    short = ends[0] + at * along + np.outer([low, high], across)
    return Axes(long_mm + grain_mm, high - low + grain_mm, _pair(ends / pixel_mm), _pair(short / pixel_mm))


def _widest(hull: Points) -> tuple[float, float, float]:
    """The first coordinate at which a convex polygon is widest along the second, and the ends there.

    Between two corners the width changes evenly, so that it is largest at one of them.
    """
    start, own = hull[:, 0], hull[:, 1]
    run, rise = np.roll(start, -1) - start, np.roll(own, -1) - own
    upright = run == 0
    # An upright edge lies between two others, which end where it does.
    share = (start[:, None] - start) / np.where(upright, 1.0, run)
    met = own + share * rise
    missed = (share < 0) | (share > 1) | upright
    low = np.minimum(np.where(missed, np.inf, met).min(axis=1), own)
    high = np.maximum(np.where(missed, -np.inf, met).max(axis=1), own)
    widest = int((high - low).argmax())
    return float(hull[widest, 0]), float(low[widest]), float(high[widest])


def _pair(points: Points) -> tuple[PointPx, PointPx]:
    (a, b), (c, d) = points.tolist()
    return (a, b), (c, d)
