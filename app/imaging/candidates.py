"""Where in the lungs a nodule may be: a multi-scale blob filter on the curvatures of the smoothed slice.

A blob curves downwards in every direction, a vessel not along itself. The harmonic mean of the principal curvatures is
high only where all are (the idea of Li, Sone and Doi 2003, doi 10.1118/1.1581411); times the square of the filter's
width it can be compared between sizes (Lindeberg 1998, doi 10.1023/A:1008045108935).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from app.imaging.ct import CTSlice, FloatImage, PointPx
from app.imaging.lung_closing import closed_tightly
from app.imaging.lungs import AIRLIKE_HU, Mask, smoothed

DIAMETERS_MM: Final = (4.5, 7.0, 10.0, 14.0, 20.0, 28.0, 40.0, 56.0)
LARGE_MM: Final = 24.0  # a patch that a nodule fills shows a larger one from within
LARGE_ZOOM: Final = 2.0  # a mass of 40 mm looks like a nodule of 20
WORK_SPACING_MM: Final = 1.0  # the smallest blob keeps a sigma above one and a half pixels
SIGMA_PX: Final = 2.0  # a large blob is filtered on pixels as coarse as this many of its sigma allow
SHRINKS: Final = (1, 2, 4)  # a centre stays within a pixel of the reduced slice
MARGIN_MM: Final = 2.0  # a nodule half in the pleura has its middle outside the lungs
OUTSIDE_HU: Final = -850.0  # outside the lungs everything looks like lung, so that the chest wall is no edge
CLIP_HU: Final = (-1000.0, 200.0)  # calcium must not outshine soft tissue
MIN_RESPONSE_HU: Final = 45.0  # a ground-glass nodule's contrast after the filter
SMALL_MM: Final = 5.0  # noise and the finest vessels answer to sizes below
MIN_SMALL_RESPONSE_HU: Final = 80.0
SEPARATION: Final = 0.5  # of the smaller diameter: closer ones are one blob seen at two sizes
MAX_CANDIDATES: Final = 160  # the strongest are kept; most slices have fewer
WALL_MM: Final = 20.0  # blobs as large are looked for among what sits on the walls of the lungs as well
WALL_SPACING_MM: Final = 1.0  # of the pixels on which the walls are found; on 2 mm eight of 568 small nodules are lost
RIVAL_MM: Final = 14.0  # a smaller nodule answers to filters of this size more than to large ones
REACH: Final = 0.6  # of a diameter: a blob between two of DIAMETERS_MM is up to a fifth larger than its own


@dataclass(frozen=True, slots=True)
class Candidate:
    """A blob: centre (column, row) in pixels of the slice, diameter, and the filter's response in HU."""

    centre_px: PointPx
    diameter_mm: float
    response_hu: float

    @property
    def zoom(self) -> float:
        """See `zoom_of`."""
        return zoom_of(self.diameter_mm)


@dataclass(frozen=True, slots=True, eq=False)
class Blobs:
    """Maxima of the filter: `points_mm` float64 (n, axes), `diameters_mm` and `responses_hu` float64 (n,)."""

    points_mm: NDArray[np.float64]
    diameters_mm: NDArray[np.float64]
    responses_hu: NDArray[np.float64]

    @staticmethod
    def joined(parts: list[Blobs]) -> Blobs:
        """All of several; at least one part."""
        return Blobs(
            np.concatenate([p.points_mm for p in parts]),
            np.concatenate([p.diameters_mm for p in parts]),
            np.concatenate([p.responses_hu for p in parts]),
        )

    def strongest_apart(self, limit: int) -> list[int]:
        """Numbers of the strongest, strongest first, none closer to a stronger one than SEPARATION allows."""
        free = np.ones(len(self.points_mm), np.bool_)
        kept: list[int] = []
        near = KDTree(self.points_mm).query_ball_point(self.points_mm, SEPARATION * self.diameters_mm)
        for k in np.argsort(-self.responses_hu, kind="stable").tolist():
            if not free[k]:
                continue
            kept.append(k)
            if len(kept) == limit:
                break
            # A neighbour smaller than this blob has its own, shorter reach.
            others = np.asarray(near[k], np.intp)
            distances_mm = np.linalg.norm(self.points_mm[others] - self.points_mm[k], axis=1)
            free[others[distances_mm <= SEPARATION * self.diameters_mm[others]]] = False
        return kept


def zoom_of(diameter_mm: float) -> float:
    """By how much pixels are enlarged to see the whole of a blob: 1 or LARGE_ZOOM."""
    return LARGE_ZOOM if diameter_mm > LARGE_MM else 1.0


def find_candidates(ct_slice: CTSlice, lungs: Mask) -> tuple[Candidate, ...]:
    """Candidates in and at most MARGIN_MM beside `lungs` (boolean, the slice's shape), strongest first.

    At most MAX_CANDIDATES. `diameter_mm` is one of DIAMETERS_MM: the size whose filter answers most.
    """
    small, large = ([d for d in DIAMETERS_MM if (d < WALL_MM) is below] for below in (True, False))
    return _found(ct_slice, lungs, small, large)


def large_candidate_at(ct_slice: CTSlice, lungs: Mask, point_px: PointPx) -> Candidate | None:
    """The strongest candidate above LARGE_MM that a (column, row) point lies in, so that it does not matter where in a
    mass somebody points. A third of the time of `find_candidates`, and the same centres.
    """
    down_mm, across_mm = ct_slice.spacing_mm
    sizes = [diameter_mm for diameter_mm in DIAMETERS_MM if diameter_mm >= RIVAL_MM]
    for candidate in (c for c in _found(ct_slice, lungs, (), sizes) if c.diameter_mm > LARGE_MM):
        across, down = (a - b for a, b in zip(candidate.centre_px, point_px, strict=True))
        if math.hypot(across * across_mm, down * down_mm) <= REACH * candidate.diameter_mm:
            return candidate
    return None


def _found(ct_slice: CTSlice, lungs: Mask, small: Sequence[float], large: Sequence[float]) -> tuple[Candidate, ...]:
    """Of these diameters, of which the large are looked for on the walls of the lungs as well."""
    if not lungs.any():
        return ()
    top, bottom, left, right = _bounds(lungs)
    rows_mm, columns_mm = ct_slice.spacing_mm
    hu, inside = ct_slice.hu[top:bottom, left:right], lungs[top:bottom, left:right]
    extent_mm = ((bottom - top) * rows_mm, (right - left) * columns_mm)
    # Large blobs are looked for on these pixels or coarser ones.
    image = _resized(hu, extent_mm, WALL_SPACING_MM)
    coarse = _nearest(inside, image.shape)
    blobs = [_blobs(search_field(image, coarse), coarse, extent_mm, diameter_mm) for diameter_mm in large]
    if small:
        inner = without_walls(image, coarse, WALL_SPACING_MM)
        field = search_field(hu, _nearest(inner, hu.shape))
        blobs += [_blobs(field, inside, extent_mm, diameter_mm) for diameter_mm in small]
    found = []
    maxima = Blobs.joined(blobs)
    for k in maxima.strongest_apart(MAX_CANDIDATES):
        y_mm, x_mm = maxima.points_mm[k].tolist()
        # The centre of pixel 0 is 0 at every size: hence the half.
        centre_px = (x_mm / columns_mm - 0.5 + left, y_mm / rows_mm - 0.5 + top)
        found.append(Candidate(centre_px, float(maxima.diameters_mm[k]), float(maxima.responses_hu[k])))
    return tuple(found)


def search_field(hu: FloatImage | NDArray[np.int16], lungs: Mask) -> FloatImage:
    """`hu` clipped to CLIP_HU, and OUTSIDE_HU where there is no lung; float32."""
    return np.where(lungs, np.clip(hu, *CLIP_HU), np.float32(OUTSIDE_HU)).astype(np.float32, copy=False)


def shrink_factor(sigma_mm: float, spacing_mm: float) -> int:
    """How many pixels of `spacing_mm` may be averaged into one before filtering with `sigma_mm`."""
    return max(factor for factor in SHRINKS if factor <= max(1, sigma_mm / spacing_mm / SIGMA_PX))


def _bounds(mask: Mask) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def without_walls(image: FloatImage, lungs: Mask, pixel_mm: float) -> Mask:
    """Lung without the masses on its wall, and without the vessels beside the mediastinum: see `closed_tightly`."""
    airlike = (smoothed(image, pixel_mm) < AIRLIKE_HU).view(np.uint8)
    return closed_tightly(airlike, lungs.view(np.uint8), pixel_mm).view(np.bool_)


def _resized(image: FloatImage, extent_mm: tuple[float, float], pixel_mm: float) -> FloatImage:
    """Means on pixels of about `pixel_mm`."""
    rows, columns = (max(3, round(mm / pixel_mm)) for mm in extent_mm)
    return np.asarray(cv2.resize(image, (columns, rows), interpolation=cv2.INTER_AREA), np.float32)


def _nearest(mask: Mask, shape: tuple[int, ...]) -> Mask:
    rows, columns = shape
    return cv2.resize(mask.view(np.uint8), (columns, rows), interpolation=cv2.INTER_NEAREST).view(np.bool_)


def _blobs(field: FloatImage, lungs: Mask, extent_mm: tuple[float, float], diameter_mm: float) -> Blobs:
    """Maxima for one size; points are (y, x) in mm from the field's upper left corner."""
    sigma_mm = diameter_mm / (2 * math.sqrt(2))
    pixel_mm = WORK_SPACING_MM * shrink_factor(sigma_mm, WORK_SPACING_MM)
    image = _resized(field, extent_mm, pixel_mm)
    y_mm, x_mm = (mm / n for mm, n in zip(extent_mm, image.shape, strict=True))
    reach = 2 * math.ceil(MARGIN_MM / pixel_mm) + 1
    inside = cv2.dilate(_nearest(lungs, image.shape).view(np.uint8), np.ones((reach, reach), np.uint8))
    response = _response(image, (sigma_mm / y_mm, sigma_mm / x_mm))
    minimum = MIN_SMALL_RESPONSE_HU if diameter_mm < SMALL_MM else MIN_RESPONSE_HU
    highest = cv2.dilate(response, np.ones((3, 3), np.uint8))
    # Flat: numbers of two axes take ten times as long to find.
    y, x = np.divmod(np.flatnonzero((response >= highest) & (response >= minimum) & (inside > 0)), image.shape[1])
    points_mm = np.stack([(y + 0.5) * y_mm, (x + 0.5) * x_mm], axis=1)
    return Blobs(points_mm, np.full(len(y), diameter_mm), response[y, x].astype(np.float64))


def _response(image: FloatImage, sigmas_px: tuple[float, float]) -> FloatImage:
    """Twice the harmonic mean of the principal curvatures, scale-normalised; 0 where one of them bends upwards.

    A bright disc of the filter's size answers with 2/e of its contrast.
    """
    sigma_y, sigma_x = sigmas_px
    # Lung outside the field, not more of what is at its edge: a mass on the pleura is no ridge.
    above = image - np.float32(OUTSIDE_HU)
    smooth = cv2.GaussianBlur(above, (0, 0), sigma_x, sigmaY=sigma_y, borderType=cv2.BORDER_CONSTANT)
    padded = cv2.copyMakeBorder(smooth, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    centre = padded[1:-1, 1:-1]
    xx = (padded[1:-1, 2:] + padded[1:-1, :-2] - 2 * centre) * np.float32(sigma_x**2)
    yy = (padded[2:, 1:-1] + padded[:-2, 1:-1] - 2 * centre) * np.float32(sigma_y**2)
    xy = padded[2:, 2:] + padded[:-2, :-2] - padded[2:, :-2] - padded[:-2, 2:]
    determinant = xx * yy - (xy * np.float32(sigma_x * sigma_y / 4)) ** 2
    trace = xx + yy
    bright = (determinant > 0) & (trace < 0)
    return np.where(bright, -4 * determinant / np.where(bright, trace, -1), 0).astype(np.float32, copy=False)
