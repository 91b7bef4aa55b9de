"""How much air each lung holds on a slice, and what lies between it and the ribs where air should be.

The inner wall of the chest is where the ribs are, seen from the middle: a lung that holds air lies against it on the
side and behind, at every height. Fluid, a lobe without air or a large mass on the pleura lie between them. In front it
is otherwise: heart, liver and thymus touch the ribs in health.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from app.imaging.ct import FloatImage, Orientation, PointPx
from app.imaging.lungs import AIRLIKE_HU, WORK_SPACING_MM, Mask, filled_body, median, smoothed

BONE_HU: Final = 220.0  # above soft tissue and most enhanced vessels
RAYS: Final = 120  # from the middle of the chest, 3 degrees apart
REACH_MM: Final = 260.0  # of a ray; half the width of the widest chest
NEIGHBOURS: Final = 5  # rays on each side in which there is a rib, 15 degrees
SECTOR_DEG: Final = (12.0, 63.0)  # looked at: from aside, behind the heart, towards the back as far as the spine
CORTEX_HU: Final = 300.0  # above enhanced blood, too
PLEURA_MM: Final = 9.0  # from lung to the middle of a rib's cortex, fat included
MIN_WALL_MM: Final = 40.0  # no rib is closer to the middle; an enhanced heart is
MIRRORED: Final = 0.75  # of the other lung's reach: where it is, this side's ribs are beyond
AERATED_HU: Final = -650.0  # denser lung is ill, thick with vessels, or at its wall
SPINE_MM: Final = 30.0  # half the width of the band in which it is looked for
WALL_PX: Final = 5  # the mask's border, which is partial volume
MIN_VALUES: Final = 200  # a median of fewer pixels says nothing

Rays = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Side:
    """One half of a slice and the lung in it; points are (column, row).

    `aerated_cm2` is the lung's area below AERATED_HU, `dense_cm2` that above it inside the mask, around `dense_px`;
    `median_hu` is the median of what is air-like, None where there is too little. `opaque_cm2` lies between lung and
    ribs, around `opaque_px`. `mirrored_px` is where the middle of the other lung would be on this side.
    """

    aerated_cm2: float
    dense_cm2: float
    opaque_cm2: float
    median_hu: float | None
    dense_px: PointPx
    opaque_px: PointPx
    mirrored_px: PointPx

    @property
    def dense_share(self) -> float:
        """Of the lung that is in the mask."""
        return self.dense_cm2 / max(self.aerated_cm2 + self.dense_cm2, 1.0)

    def scaled(self, across: float, down: float) -> Side:
        """With its points on pixels that are so many times as fine."""

        def moved(point: PointPx) -> PointPx:
            return (point[0] + 0.5) * across - 0.5, (point[1] + 0.5) * down - 0.5

        return replace(
            self,
            dense_px=moved(self.dense_px),
            opaque_px=moved(self.opaque_px),
            mirrored_px=moved(self.mirrored_px),
        )


@dataclass(frozen=True, slots=True)
class SidesAt:
    """The patient's right and left on one slice of a series, standing for `height_mm` of it."""

    slice_index: int
    height_mm: float
    right: Side
    left: Side


def measure_sides(hu: FloatImage, lungs: Mask, pixel_mm: float) -> tuple[Side, Side]:
    """What lies left and right of the middle of a slice shrunken to pixels of `pixel_mm`; both (rows, columns).

    Points are on these pixels. `lungs` must not be empty.
    """
    middle = _middle_px(filled_body(hu, pixel_mm), lungs)
    air = smoothed(hu, pixel_mm)
    inner = cv2.erode(lungs.view(np.uint8), np.ones((WALL_PX, WALL_PX), np.uint8)).view(np.bool_)
    opaque = _opaque(hu, lungs, middle, pixel_mm)
    at = round(middle[0])
    left = _side(hu, (air, lungs, inner), np.s_[:at], middle, pixel_mm, opaque[0])
    right = _side(hu, (air, lungs, inner), np.s_[at:], middle, pixel_mm, opaque[1])
    return left, right


def patient_sides(
    hu: FloatImage, lungs: Mask, shape: tuple[int, ...], orientation: Orientation | None
) -> tuple[Side, Side]:
    """The patient's right and left, on pixels of WORK_SPACING_MM; points are on the pixels of a slice of `shape`.

    Without an orientation the patient's right is on the left of the image, as radiologists look at it.
    """
    down, across = (n / m for n, m in zip(shape, hu.shape, strict=True))
    left, right = (side.scaled(across, down) for side in measure_sides(hu, lungs, WORK_SPACING_MM))
    return (left, right) if orientation is None or orientation.row[0] >= 0 else (right, left)


def _side(
    hu: FloatImage,
    fields: tuple[FloatImage, Mask, Mask],
    part: slice,
    middle: PointPx,
    pixel_mm: float,
    opaque: tuple[float, PointPx],
) -> Side:
    air, lungs, inner = fields[0][:, part], fields[1][:, part], fields[2][:, part]
    other = fields[1].copy()
    other[:, part] = False
    column, row = _centre(other, 0, middle)
    values = hu[:, part][lungs & (air < AIRLIKE_HU)]
    dense = inner & (air >= AERATED_HU)
    return Side(
        aerated_cm2=np.count_nonzero(lungs & (air < AERATED_HU)) * pixel_mm**2 / 100,
        dense_cm2=np.count_nonzero(dense) * pixel_mm**2 / 100,
        opaque_cm2=opaque[0],
        median_hu=median(values) if values.size >= MIN_VALUES else None,
        dense_px=_centre(dense, part.start or 0, middle),
        opaque_px=opaque[1],
        mirrored_px=(2 * middle[0] - column, row),
    )


def _centre(part: Mask, first_column: int, otherwise: PointPx) -> PointPx:
    """Mean (column, row) of a part of the image that begins at a column."""
    rows, columns = np.nonzero(part)
    return (float(columns.mean()) + first_column, float(rows.mean())) if rows.size else otherwise


def _middle_px(body: NDArray[np.uint8], lungs: Mask) -> PointPx:
    """Middle of the chest: across, where the body's outline mirrors best; along, halfway down the lungs."""
    heights = body.sum(axis=0).astype(np.float64)
    rows = np.flatnonzero(lungs.any(axis=1))
    return float(np.argmax(np.convolve(heights, heights))) / 2, (float(rows[0]) + float(rows[-1])) / 2


def _opaque(
    hu: FloatImage, lungs: Mask, middle: PointPx, pixel_mm: float
) -> tuple[tuple[float, PointPx], tuple[float, PointPx]]:
    """Area in cm² between lung and ribs, and its middle, for the left and the right of the slice."""
    ends, ribs = _ends_px(hu, lungs, middle, pixel_mm)
    inside = np.where(np.isfinite(ribs), np.maximum(ribs - PLEURA_MM / pixel_mm, ends), ends)
    areas_cm2 = (inside**2 - ends**2) * (math.pi / RAYS * pixel_mm**2 / 100)
    angles = np.arange(RAYS) * (360 / RAYS)
    # Rays count clockwise from the right of the image; the spine tells where the back is.
    back = angles if _spine_below(hu, lungs, middle, pixel_mm) else -angles
    sectors = ((aside % 360 >= SECTOR_DEG[0]) & (aside % 360 <= SECTOR_DEG[1]) for aside in (180 - back, back))
    left, right = (
        _place(areas_cm2[sector], (inside + ends)[sector] / 2, np.radians(angles[sector]), middle) for sector in sectors
    )
    return left, right


def _ends_px(hu: FloatImage, lungs: Mask, middle: PointPx, pixel_mm: float) -> tuple[Rays, Rays]:
    """Distances from the middle, along each ray, of the end of the lung and of the ribs around it (inf where none)."""
    reach_px = int(REACH_MM / pixel_mm)
    # What lies off the image is not written without the second flag.
    flags = cv2.WARP_POLAR_LINEAR | cv2.WARP_FILL_OUTLIERS
    around = np.asarray(cv2.warpPolar(hu, (reach_px, RAYS), middle, reach_px, flags))
    lung = np.asarray(cv2.warpPolar(lungs.view(np.uint8), (reach_px, RAYS), middle, reach_px, flags)) > 0
    steps = np.arange(reach_px)
    ends = np.where(lung, steps, 0).max(axis=1).astype(np.float64)
    mirrored = ends[(RAYS // 2 - np.arange(RAYS)) % RAYS]
    beyond = np.maximum(np.maximum(ends, MIRRORED * mirrored), MIN_WALL_MM / pixel_mm)
    hit = (around > BONE_HU) & (steps > beyond[:, None])
    ribs = np.where(hit.any(axis=1), hit.argmax(axis=1), math.inf)
    return ends, np.min([np.roll(ribs, n) for n in range(-NEIGHBOURS, NEIGHBOURS + 1)], axis=0)


def _place(areas_cm2: Rays, depths_px: Rays, angles: Rays, middle: PointPx) -> tuple[float, PointPx]:
    total = float(areas_cm2.sum())
    if total <= 0:
        return 0.0, middle
    depth, angle = (float(np.average(values, weights=areas_cm2)) for values in (depths_px, angles))
    return total, (middle[0] + depth * math.cos(angle), middle[1] + depth * math.sin(angle))


def _spine_below(hu: FloatImage, lungs: Mask, middle: PointPx, pixel_mm: float) -> bool:
    """Whether there is more bone behind the middle than in front of it: a patient may lie face down."""
    column, row, reach = round(middle[0]), round(middle[1]), round(SPINE_MM / pixel_mm)
    quarter = round((row - int(np.flatnonzero(lungs.any(axis=1))[0])) / 2)
    bone = hu[:, max(0, column - reach) : column + reach] > CORTEX_HU
    return bool(np.count_nonzero(bone[row + quarter :]) >= np.count_nonzero(bone[: row - quarter]))
