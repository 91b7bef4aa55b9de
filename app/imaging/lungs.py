"""Lung field of one slice in HU: threshold and connected components, then `lung_closing`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from app.imaging.ct import CTSlice, FloatImage, PointPx
from app.imaging.lung_closing import ByteMask, closed

Mask = NDArray[np.bool_]

WORK_SPACING_MM: Final = 1.4  # fine enough for a lung's outline, a quarter of the pixels of a usual slice
MIN_SIDE_PX: Final = 8  # of a shrunken slice
AIRLIKE_HU: Final = -500.0  # halfway between lung and soft tissue
LUNG_MEDIAN_HU: Final = (-940.0, -550.0)  # free air (outside, trachea, bowel) lies below, partial volume above
BEYOND_VIEW_HU: Final = -1200.0  # no tissue: what scanners write outside a round field of view
SMALL_POCKET_CM2: Final = 10.0  # bowel gas and airways are smaller, and half wall: SMALL_LOW_HU applies to them
SMALL_LOW_HU: Final = -900.0  # the apex and the recess of a lung are denser than its middle
MIN_COMPONENT_MM2: Final = 150.0  # smaller gas pockets are bowel, airway or noise
MIN_CUT_RADIUS_MM: Final = 25.0  # air-like at the edge of the view: lung is as wide, blankets and table foam are not
MAX_COMPONENTS: Final = 32  # lungs are among the largest; noise makes thousands
CORE_MM: Final = 2.8  # off the wall, past its partial volume
SMOOTHING_MM: Final = 4.2  # what noise is averaged over before the threshold
NEIGHBOURS: Final = np.ones((3, 3), np.uint8)
STRIDE_PX: Final = 4  # distances to lung are compared with centimetres


@dataclass(frozen=True, slots=True)
class Pocket:
    """A connected component of air-like pixels of a shrunken slice: its label and area, and the `box` around it.

    `median_hu` is taken in its core, CORE_MM off its wall; None where it is too thin to have one.
    """

    label: int
    area_mm2: float
    box: tuple[slice, slice]
    median_hu: float | None

    @property
    def dense_as_lung(self) -> bool:
        """Whether its density is lung's rather than free air's or soft tissue's; True where it is too thin to say."""
        low, high = LUNG_MEDIAN_HU
        if self.area_mm2 < SMALL_POCKET_CM2 * 100:
            low = SMALL_LOW_HU
        return self.median_hu is None or low <= self.median_hu <= high


def segment_lungs(ct_slice: CTSlice) -> Mask:
    """Boolean (rows, columns): lung with what lies in it and sits on its wall; all False where none is found."""
    labels, pockets = air_pockets(shrink(ct_slice.hu, ct_slice.spacing_mm), MIN_COMPONENT_MM2)
    lungs = closed(labels, [[p.label] for p in pockets if is_lung(p)], WORK_SPACING_MM).view(np.bool_)
    rows, columns = ct_slice.hu.shape
    return _resized(lungs, rows, columns)


def is_lung(pocket: Pocket) -> bool:
    """Whether a pocket has a core, and that the density of lung."""
    return pocket.median_hu is not None and pocket.dense_as_lung


def lung_area_cm2(mask: Mask, ct_slice: CTSlice) -> float:
    """Area of a mask in cm²."""
    rows_mm, columns_mm = _pixel_mm(mask, ct_slice)
    return float(np.count_nonzero(mask)) * rows_mm * columns_mm / 100


def distance_to_lung_mm(mask: Mask, ct_slice: CTSlice, point_px: PointPx) -> float:
    """Distance in mm from a (column, row) point to the nearest lung, to within STRIDE_PX pixels; inf without lung."""
    if _holds(mask, ct_slice, point_px):
        return 0.0
    step = _step(mask, ct_slice)
    rows, columns = np.nonzero(mask[::step, ::step])
    if not rows.size:
        return math.inf
    rows_mm, columns_mm = _pixel_mm(mask, ct_slice)
    column, row = ((at + 0.5) * mm for at, mm in zip(point_px, reversed(ct_slice.spacing_mm), strict=True))
    down, along = (rows * step + 0.5) * rows_mm - row, (columns * step + 0.5) * columns_mm - column
    return math.sqrt(float((down * down + along * along).min()))


def is_surely_near_lung(mask: Mask, ct_slice: CTSlice, point_px: PointPx, reach_mm: float) -> bool:
    """Whether there is lung in the square inside a circle of `reach_mm` around a (column, row) point.

    `distance_to_lung_mm` is no more than `reach_mm` then, and takes ten times as long.
    """
    step, half_mm = _step(mask, ct_slice), reach_mm / math.sqrt(2)
    sides = zip(point_px[::-1], ct_slice.spacing_mm, _pixel_mm(mask, ct_slice), strict=True)
    rows, columns = (_centres_within((at + 0.5) * mm, half_mm, pixel_mm, step) for at, mm, pixel_mm in sides)
    return bool(mask[rows, columns].any())


def cut_length_mm(mask: Mask, ct_slice: CTSlice, shrunken: FloatImage | None = None) -> float:
    """Length in mm along which lung touches the edge of the image or of its round field of view (BEYOND_VIEW_HU).

    `shrunken` saves shrinking the slice once more.
    """
    small = shrink(ct_slice.hu, ct_slice.spacing_mm) if shrunken is None else shrunken
    rows, columns = small.shape
    lungs = mask if mask.shape == small.shape else _resized(mask, rows, columns)
    return float(np.count_nonzero(lungs.view(np.uint8) & edge_of_view(small))) * math.sqrt(
        math.prod(_pixel_mm(lungs, ct_slice))
    )


def _holds(mask: Mask, ct_slice: CTSlice, point_px: PointPx) -> bool:
    """Whether a point of the slice lies on the mask."""
    sides = zip(point_px[::-1], mask.shape, ct_slice.hu.shape, strict=True)
    row, column = (min(max(int((at + 0.5) * m / n), 0), m - 1) for at, m, n in sides)
    return bool(mask[row, column])


def _step(mask: Mask, ct_slice: CTSlice) -> int:
    """Pixels of a mask that are STRIDE_PX of the slice."""
    return max(1, STRIDE_PX * len(mask) // len(ct_slice.hu))


def _centres_within(middle_mm: float, half_mm: float, pixel_mm: float, step: int) -> slice:
    """Every `step`-th pixel, from 0, whose centre is no further than `half_mm` from the middle along one axis."""
    first, last = (middle_mm - half_mm) / pixel_mm - 0.5, (middle_mm + half_mm) / pixel_mm - 0.5
    return slice(max(0, math.ceil(first / step) * step), max(0, math.floor(last) + 1), step)


def _resized(mask: Mask, rows: int, columns: int) -> Mask:
    return cv2.resize(mask.view(np.uint8), (columns, rows), interpolation=cv2.INTER_NEAREST).view(np.bool_)


def _pixel_mm(mask: Mask, ct_slice: CTSlice) -> tuple[float, float]:
    """Size of a pixel of a mask, which covers the slice in as many pixels or fewer."""
    rows, columns = (mm * n / m for mm, n, m in zip(ct_slice.spacing_mm, ct_slice.hu.shape, mask.shape, strict=True))
    return rows, columns


def shrink(hu: NDArray[np.float32] | NDArray[np.int16], spacing_mm: tuple[float, float]) -> FloatImage:
    """Pixels averaged to about WORK_SPACING_MM, float32 (rows, columns); at least eight each way."""
    sides = zip(hu.shape, spacing_mm, strict=True)
    rows, columns = (max(MIN_SIDE_PX, round(n * mm / WORK_SPACING_MM)) for n, mm in sides)
    return np.asarray(cv2.resize(hu, (columns, rows), interpolation=cv2.INTER_AREA), np.float32)


def air_pockets(hu: FloatImage, min_mm2: float) -> tuple[NDArray[np.int32], list[Pocket]]:
    """Labels of the air-like pixels inside the body of a shrunken slice, and the largest components of `min_mm2`."""
    return pockets_inside(hu, filled_body(hu, WORK_SPACING_MM), min_mm2, WORK_SPACING_MM)


def pockets_inside(
    hu: FloatImage, body: ByteMask, min_mm2: float, pixel_mm: float
) -> tuple[NDArray[np.int32], list[Pocket]]:
    """As `air_pockets`, inside a body that was found before, on pixels of `pixel_mm`."""
    airlike = (smoothed(hu, pixel_mm) < AIRLIKE_HU).view(np.uint8) & body
    count, labels = cv2.connectedComponents(airlike, connectivity=4)
    labelled = np.asarray(labels, np.int32)
    core = np.asarray(cv2.erode(airlike, _square(round(CORE_MM / pixel_mm))), np.bool_)
    # OpenCV's own statistics take three times as long as its labels.
    areas_mm2 = np.bincount(labelled[airlike.view(np.bool_)], minlength=count)[1:] * pixel_mm**2
    largest = 1 + np.argsort(-areas_mm2, kind="stable")[:MAX_COMPONENTS]
    pockets = [
        _pocket(hu, labelled == label, core, label, float(areas_mm2[label - 1]))
        for label in largest.tolist()
        if areas_mm2[label - 1] >= min_mm2
    ]
    cut = _touching(labelled, count, hu)
    return labelled, [p for p in pockets if not cut[p.label] or _radius_px(labelled, p) * pixel_mm >= MIN_CUT_RADIUS_MM]


def _touching(labels: NDArray[np.int32], count: int, hu: FloatImage) -> Mask:
    """Which of `count` labels are on `edge_of_view`."""
    touching = np.zeros(count, np.bool_)
    if _fills_view(hu):
        for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
            touching[edge] = True
    else:
        touching[labels[edge_of_view(hu).view(np.bool_)]] = True
    return touching


def edge_of_view(hu: FloatImage) -> ByteMask:
    """1 on the pixels that touch the image's edge or what lies beyond a round field of view."""
    if _fills_view(hu):
        return _frame(hu.shape)
    outside = (hu < BEYOND_VIEW_HU).view(np.uint8)
    beyond = cv2.copyMakeBorder(outside, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=1)
    return np.asarray(cv2.dilate(beyond, NEIGHBOURS) - beyond, np.uint8)[1:-1, 1:-1]


def _fills_view(hu: FloatImage) -> bool:
    """Whether the view is as wide as the image, not round."""
    return bool(hu.min() >= BEYOND_VIEW_HU)


def _frame(shape: tuple[int, ...]) -> ByteMask:
    frame = np.zeros(shape, np.uint8)
    frame[0], frame[-1], frame[:, 0], frame[:, -1] = 1, 1, 1, 1
    return frame


def smoothed(hu: FloatImage, pixel_mm: float) -> FloatImage:
    """Averaged over about SMOOTHING_MM, which coarse pixels have done already."""
    width = 2 * _smoothing_reach_px(pixel_mm) + 1
    return hu if width == 1 else np.asarray(cv2.blur(hu, (width, width)), np.float32)


def _smoothing_reach_px(pixel_mm: float) -> int:
    return int(SMOOTHING_MM / pixel_mm / 2)


def _square(reach_px: int) -> ByteMask:
    return np.ones((2 * reach_px + 1, 2 * reach_px + 1), np.uint8)


def _pocket(hu: FloatImage, part: Mask, core: Mask, label: int, area_mm2: float) -> Pocket:
    x, y, width, height = cv2.boundingRect(part.view(np.uint8))
    box = np.s_[y : y + height, x : x + width]
    # Its core only: the partial volume at the wall of a gas bubble has the density of lung.
    values = hu[box][part[box] & core[box]]
    return Pocket(label, area_mm2, box, median(values) if values.size else None)


def median(values: FloatImage) -> float:
    """As `np.median`, which takes four times as long."""
    lower, upper = (values.size - 1) // 2, values.size // 2
    ordered = np.partition(values, (lower, upper))
    return float((ordered[lower] + ordered[upper]) / 2)


def _radius_px(labels: NDArray[np.int32], pocket: Pocket) -> float:
    """Radius in pixels of the largest circle inside a pocket, the edge of the image not being a wall."""
    part = (labels == pocket.label).view(np.uint8)
    return float(cv2.distanceTransform(part, cv2.DIST_L2, cv2.DIST_MASK_3).max())


def filled_body(hu: FloatImage, pixel_mm: float) -> ByteMask:
    """1 inside the outline of the largest dense component, which is the patient; air around and above is 0.

    Where lung runs off the view its edge counts as dense, or the outline would pass inside the lung.
    """
    dense = (hu > AIRLIKE_HU).view(np.uint8)
    if _fills_view(hu):
        reach = _smoothing_reach_px(pixel_mm)
        # What smooths the outermost row, and no more; along most edges there is nothing but air.
        for edge, beside in ((0, np.s_[: reach + 1]), (-1, np.s_[-reach - 1 :])):
            if _holds_lung(hu[beside]):
                dense[edge] |= _dense_as_lung(smoothed(hu[beside], pixel_mm)[edge])
            if _holds_lung(hu[:, beside]):
                dense[:, edge] |= _dense_as_lung(smoothed(hu[:, beside], pixel_mm)[:, edge])
    else:
        dense |= edge_of_view(hu) & _dense_as_lung(smoothed(hu, pixel_mm))
    outlines, _ = cv2.findContours(dense, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    body = np.zeros_like(dense)
    if outlines:
        cv2.drawContours(body, [max(outlines, key=cv2.contourArea)], -1, 1, thickness=cv2.FILLED)
    return body


def _dense_as_lung(hu: FloatImage) -> ByteMask:
    return (hu > LUNG_MEDIAN_HU[0]).view(np.uint8)


def _holds_lung(hu: FloatImage) -> bool:
    """Whether any of it is as dense as lung: no average is, otherwise."""
    return bool(hu.max() > LUNG_MEDIAN_HU[0])
