"""Lung field of one slice in HU: threshold, connected components, closing."""

from __future__ import annotations

import math
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from app.imaging.ct import CTSlice, PointPx

Mask = NDArray[np.bool_]

WORK_SPACING_MM: Final = 1.4  # fine enough for a lung's outline, a quarter of the pixels of a usual slice
AIRLIKE_HU: Final = -500.0  # halfway between lung and soft tissue
LUNG_MEDIAN_HU: Final = (-940.0, -550.0)  # free air (outside, trachea, bowel) lies below, partial volume above
MIN_COMPONENT_MM2: Final = 150.0  # smaller gas pockets are bowel, airway or noise
MAX_COMPONENTS: Final = 32  # lungs are among the largest; noise makes thousands
CORE: Final = np.ones((5, 5), np.uint8)  # two pixels off the wall, past its partial volume
STRIDE_PX: Final = 4  # distances to lung are compared with centimetres
CLOSING_MM: Final = 10.0  # keeps a nodule on the pleura inside


def segment_lungs(ct_slice: CTSlice) -> Mask:
    """Boolean (rows, columns): lung, nodules inside it and on its border included; all False where none is found."""
    rows_mm, columns_mm = ct_slice.spacing_mm
    rows, columns = ct_slice.hu.shape
    work_size = (max(8, round(columns * columns_mm / WORK_SPACING_MM)), max(8, round(rows * rows_mm / WORK_SPACING_MM)))
    small = np.asarray(cv2.resize(ct_slice.hu, work_size, interpolation=cv2.INTER_AREA), np.float32)
    lungs = _closed(_lung_components(small))
    return cv2.resize(lungs, (columns, rows), interpolation=cv2.INTER_NEAREST).astype(bool)


def lung_area_cm2(mask: Mask, ct_slice: CTSlice) -> float:
    """Area of a mask in cm²."""
    rows_mm, columns_mm = ct_slice.spacing_mm
    return float(np.count_nonzero(mask)) * rows_mm * columns_mm / 100


def distance_to_lung_mm(mask: Mask, ct_slice: CTSlice, point_px: PointPx) -> float:
    """Distance in mm from a (column, row) point to the nearest lung, to within STRIDE_PX pixels; inf without lung."""
    rows, columns = np.nonzero(mask[::STRIDE_PX, ::STRIDE_PX])
    if not rows.size:
        return math.inf
    rows_mm, columns_mm = ct_slice.spacing_mm
    column, row = point_px
    return float(np.hypot((rows * STRIDE_PX - row) * rows_mm, (columns * STRIDE_PX - column) * columns_mm).min())


def _lung_components(hu: NDArray[np.float32]) -> list[NDArray[np.uint8]]:
    airlike = (cv2.blur(hu, (3, 3)) < AIRLIKE_HU).astype(np.uint8) & _filled_body(hu)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(airlike, connectivity=4)
    areas_mm2 = stats[1:, cv2.CC_STAT_AREA] * WORK_SPACING_MM**2
    low, high = LUNG_MEDIAN_HU
    kept = []
    for label in 1 + np.argsort(-areas_mm2, kind="stable")[:MAX_COMPONENTS]:
        if areas_mm2[label - 1] < MIN_COMPONENT_MM2:
            break
        component = (labels == label).astype(np.uint8)
        # Its core only: the partial volume at the wall of a gas bubble has the density of lung.
        core = hu[cv2.erode(component, CORE).astype(bool)]
        if core.size and low <= float(np.median(core)) <= high:
            kept.append(component)
    return kept


def _filled_body(hu: NDArray[np.float32]) -> NDArray[np.uint8]:
    """1 inside the outline of the largest dense component, which is the patient; air around and above is 0."""
    dense = (hu > AIRLIKE_HU).astype(np.uint8)
    outlines, _ = cv2.findContours(dense, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    body = np.zeros_like(dense)
    if outlines:
        cv2.drawContours(body, [max(outlines, key=cv2.contourArea)], -1, 1, thickness=cv2.FILLED)
    return body


def _closed(components: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Each component closed on its own, so that closing cannot bridge the mediastinum; holes filled."""
    if not components:
        return np.zeros((1, 1), np.uint8)
    radius = round(CLOSING_MM / WORK_SPACING_MM)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    lungs = np.zeros_like(components[0])
    for component in components:
        # A border of the closing's own radius: without it closing eats what touches the image's edge.
        padded = cv2.copyMakeBorder(component, radius, radius, radius, radius, cv2.BORDER_CONSTANT, value=0)
        closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, disc)
        outlines, _ = cv2.findContours(closed, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        cv2.drawContours(closed, outlines, -1, 1, thickness=cv2.FILLED)
        lungs |= np.asarray(closed[radius:-radius, radius:-radius], np.uint8)
    return lungs
