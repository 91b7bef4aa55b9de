"""Blends a nodule's patch into lung tissue of another scan, so that a slice holds a nodule whose place is known.

The outline, dilated and feathered, is the blending weight; background density and noise are those of the place. A hard
paste and Poisson blending both leave a ring that a network could learn to see.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from app.imaging.ct import CTSlice, FloatImage, PointPx
from app.imaging.patches import PatchSpec, resample
from training.data.nodules import Nodule

Mask = NDArray[np.bool_]
Rng = np.random.Generator

DILATION_MM: Final = 1.5  # readers draw inside a nodule's partial volume
FEATHER_MM: Final = 2.0
RING_MM: Final = 5.0  # how far around the outline the lung's density is measured
LUNG_LIKE_HU: Final = -500.0
TISSUE_HU: Final = 40.0
MAX_WALL: Final = 0.2  # of a source's ring; more is pleura or mediastinum, which would come along
MAX_COVERED: Final = 0.05  # of the place that is vessel; the blend would cut it off
TRIES: Final = 200
NOISE_SIGMA_PX: Final = 1.0
NOISE_LIMIT: Final = 3.0  # standard deviations; beyond is a vessel's edge, not noise


@dataclass(frozen=True, slots=True, eq=False)
class Graft:
    """A nodule on the pixel grid of the slice it goes to.

    `hu` float32 (size, size), `weight` its blending weight 0-1, `ring` lung around it, `background_hu` and `noise_hu`
    the median and standard deviation of lung in the ring.
    """

    hu: FloatImage
    weight: FloatImage
    ring: Mask
    background_hu: float
    noise_hu: float


def wall_share(nodule: Nodule) -> float:
    """How much of the ring around a nodule is not lung: near 0 where it lies free, 1 without an outline."""
    if nodule.outline is None:
        return 1.0
    ring = _ring(nodule.outline, nodule.spacing_mm)
    return float((nodule.hu[ring] > LUNG_LIKE_HU).mean()) if ring.any() else 1.0


def graft(nodule: Nodule, spacing_mm: float) -> Graft:
    """Resample a nodule with an outline to pixels of `spacing_mm`."""
    if nodule.outline is None:
        raise ValueError("a nodule without an outline cannot be cut out")
    half = math.ceil((_extent_px(nodule.outline) * nodule.spacing_mm + RING_MM) / spacing_mm)
    spec, source_mm = PatchSpec(2 * half + 1, spacing_mm), (nodule.spacing_mm, nodule.spacing_mm)
    middle = (float(nodule.hu.shape[1] // 2), float(nodule.hu.shape[0] // 2))
    hu, _ = resample(nodule.hu.astype(np.float32), source_mm, middle, spec)
    share, _ = resample(nodule.outline.astype(np.float32), source_mm, middle, spec)
    outline = share > 0.5
    ring = _ring(outline, spacing_mm) & (hu < LUNG_LIKE_HU)
    beyond = np.clip((_outside_mm(outline, spacing_mm) - DILATION_MM) / FEATHER_MM, 0, 1)
    weight = (0.5 + 0.5 * np.cos(np.pi * beyond)).astype(np.float32)
    background = float(np.median(hu[ring])) if ring.any() else float(np.median(hu[weight == 0]))
    return Graft(hu, weight, ring, background, _noise_hu(hu, ring))


def find_place(grafted: Graft, ct_slice: CTSlice, allowed: Mask, rng: Rng) -> tuple[int, int] | None:
    """A (column, row) pixel where the graft lies wholly in `allowed` and on next to no vessel; None without one."""
    half, covered = grafted.hu.shape[0] // 2, grafted.weight > 0
    reach = float(np.hypot(*(np.argwhere(covered) - half).T).max())
    room = cv2.distanceTransform(np.pad(allowed, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1] > reach
    room[:half] = room[-half:] = room[:, :half] = room[:, -half:] = False
    choices = np.flatnonzero(room)
    for choice in choices[rng.integers(len(choices), size=TRIES)].tolist() if len(choices) else ():
        row, column = divmod(choice, room.shape[1])
        under = _window(ct_slice.hu, (column, row), half)
        if float(np.mean(under[covered] > LUNG_LIKE_HU)) <= MAX_COVERED:
            return column, row
    return None


def plant(ct_slice: CTSlice, grafted: Graft, place: tuple[int, int]) -> CTSlice:
    """The slice with the graft's middle on the (column, row) pixel `place`."""
    half = grafted.hu.shape[0] // 2
    under = _window(ct_slice.hu, place, half)
    lung = under[grafted.ring & (under < LUNG_LIKE_HU)]
    background = float(np.median(lung)) if len(lung) else grafted.background_hu
    # The denser a voxel, the less lung is in it: only that part takes the density of the place.
    tissue = np.clip((grafted.hu - grafted.background_hu) / (TISSUE_HU - grafted.background_hu), 0, 1)
    moved = grafted.hu + (1 - tissue) * np.float32(background - grafted.background_hu)
    blended = under + grafted.weight * (moved + _missing_noise(grafted, under) - under)
    hu = ct_slice.hu.copy()
    _window(hu, place, half)[...] = blended
    return replace(ct_slice, hu=hu)


def _missing_noise(grafted: Graft, under: FloatImage) -> FloatImage:
    """The place's own noise, as much of it as the source lacks: its grain is the scanner's."""
    found = _noise_hu(under, grafted.ring & (under < LUNG_LIKE_HU))
    if found <= grafted.noise_hu:
        return np.zeros_like(under)
    share = math.sqrt(found**2 - grafted.noise_hu**2) / found
    limit = NOISE_LIMIT * found
    return np.asarray(np.clip(_residual(under), -limit, limit) * np.float32(share), np.float32)


def _noise_hu(hu: FloatImage, where: Mask) -> float:
    """Robust standard deviation of what a small blur takes away; 0 where there is nothing to measure."""
    return float(1.4826 * np.median(np.abs(_residual(hu)[where]))) if where.any() else 0.0


def _residual(hu: FloatImage) -> FloatImage:
    return np.asarray(hu - cv2.GaussianBlur(hu, (0, 0), NOISE_SIGMA_PX), np.float32)


def _ring(outline: Mask, spacing_mm: float) -> Mask:
    distance = _outside_mm(outline, spacing_mm)
    return np.asarray((distance > DILATION_MM) & (distance <= RING_MM), np.bool_)


def _outside_mm(outline: Mask, spacing_mm: float) -> FloatImage:
    outside = (~outline).astype(np.uint8)
    return np.asarray(cv2.distanceTransform(outside, cv2.DIST_L2, 5) * np.float32(spacing_mm), np.float32)


def _extent_px(outline: Mask) -> float:
    """Largest distance along an axis from the middle of the patch to the outline."""
    if not outline.any():
        raise ValueError("an empty outline")
    return float(np.abs(np.argwhere(outline) - np.array(outline.shape) // 2).max())


def _window(image: FloatImage, place: tuple[int, int], half: int) -> FloatImage:
    column, row = place
    return image[row - half : row + half + 1, column - half : column + half + 1]


def distance_mm(ct_slice: CTSlice, one: PointPx, other: PointPx) -> float:
    """Distance between two (column, row) points of a slice."""
    rows_mm, columns_mm = ct_slice.spacing_mm
    return math.hypot((one[0] - other[0]) * columns_mm, (one[1] - other[1]) * rows_mm)
