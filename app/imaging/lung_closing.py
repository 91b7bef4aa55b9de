"""Outline of lungs that keeps what sits on their wall: closing of each lung, holes filled, bays of the rib cage."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import reduce
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

ByteMask = NDArray[np.uint8]

CLOSING_MM: Final = 32.0  # keeps a mass of 60 mm that bulges into the lung; a heart is wider
NODULE_CLOSING_MM: Final = 10.0  # as much for a nodule, which the vessels beside the mediastinum would hide
COARSE_PX: Final = 20.0  # a closing by as many pixels is made on pixels twice as large
BOTH_LUNGS_MM: Final = 180.0  # wider than one lung: two that meet in front of and behind the mediastinum
MEDIASTINUM_CM2: Final = 8.0  # at the level of the aortic arch twice that
BRIDGES_MM: Final = (0.0, 2.8, 5.6, 8.4, 11.2, 14.0)  # half the width of what may join two lungs, tried in turn
MIN_HALF: Final = 0.15  # of what is split: a smaller piece is no second lung
MIN_LUNG_CM2: Final = 10.0  # the hull of the chest is drawn around lungs as large; bowel and apices are smaller
MAX_BAY_MM: Final = 70.0  # the largest mass looked for and what closing leaves beside it; liver and heart are wider
MIN_LID_MM: Final = 10.0  # of a bay along the hull; one on the side of the mediastinum only meets it at its tips
MIN_BAY_CM2: Final = 0.4  # the gap between two ribs


def closed(labels: NDArray[np.int32], groups: Iterable[list[int]], pixel_mm: float) -> ByteMask:
    """0 or 1: the lung of each group of labels with what sits on its wall, on pixels of `pixel_mm`.

    Each is closed on its own, so that closing cannot bridge the mediastinum; it stays in the box around its group.
    """
    # One comparison a label: `isin` takes five times as long for one or two.
    wholes = [_joined([(labels == label).view(np.uint8) for label in group]) for group in groups]
    lungs = np.zeros(labels.shape, np.uint8)
    window = _box(_joined([lungs, *wholes]))
    halves = [half for whole in wholes for half in _halves(whole[window], pixel_mm)]
    parts = [_closed(half, CLOSING_MM, pixel_mm) for half in halves]
    large = [part for part in parts if np.count_nonzero(part) * pixel_mm**2 >= MIN_LUNG_CM2 * 100]
    lungs[window] = _joined([lungs[window], *parts, *_bays(large, pixel_mm)])
    return lungs


def closed_tightly(airlike: ByteMask, lungs: ByteMask, pixel_mm: float) -> ByteMask:
    """What of `lungs`, closed as `closed` does, closing by NODULE_CLOSING_MM keeps around what is air-like in them."""
    inner = airlike & lungs
    if not inner.any():
        return lungs
    # The outline of `lungs` is that of coarser pixels.
    near = np.asarray(cv2.dilate(lungs, np.ones((3, 3), np.uint8)), np.uint8)
    return np.asarray(_closed(inner, NODULE_CLOSING_MM, pixel_mm) & near, np.uint8)


def _joined(parts: Sequence[ByteMask]) -> ByteMask:
    return np.asarray(reduce(np.bitwise_or, parts), np.uint8)


def _box(part: ByteMask) -> tuple[slice, slice]:
    x, y, width, height = cv2.boundingRect(part)
    return np.s_[y : y + height, x : x + width]


def _halves(whole: ByteMask, pixel_mm: float) -> Sequence[ByteMask]:
    """The two lungs of what is wider than one, or `whole` where there are none to tell apart."""
    if max(cv2.boundingRect(whole)[2:]) * pixel_mm <= BOTH_LUNGS_MM:
        return (whole,)
    depth_mm, enough = _distance(whole) * pixel_mm, MIN_HALF * np.count_nonzero(whole)
    for bridge_mm in BRIDGES_MM:
        count, labels = cv2.connectedComponents((depth_mm > bridge_mm).view(np.uint8), connectivity=4)
        one, other = _two_largest(np.asarray(labels, np.int32), count)
        if np.count_nonzero(labels == other) >= enough:
            nearer = _distance(labels != one) <= _distance(labels != other)
            return whole & nearer, whole & ~nearer
    return (whole,)


def _two_largest(labels: NDArray[np.int32], count: int) -> tuple[int, int]:
    """Labels of the two largest components of `count` labels, background included; `count` where there is none."""
    areas = np.bincount(labels.ravel(), minlength=count + 1)
    one, other = np.argsort(-areas[1:], kind="stable")[:2] + 1 if count > 1 else (count, count)
    return int(one), int(other)


def _closed(lung: ByteMask, reach_mm: float, pixel_mm: float) -> ByteMask:
    """Closed with a disc of radius `reach_mm`, and its holes filled; never beyond the box around it."""
    box = _box(lung)
    # Every second pixel is enough for a wide closing.
    step = 2 if reach_mm / pixel_mm >= COARSE_PX else 1
    reach_px, part = reach_mm / pixel_mm / step, np.ascontiguousarray(lung[box][::step, ::step])
    border = math.ceil(reach_px) + 1
    if not part.any():
        return lung
    # A border as wide as the closing: without it closing eats what touches the edge.
    padded = np.asarray(cv2.copyMakeBorder(part, border, border, border, border, cv2.BORDER_CONSTANT), np.uint8)
    # Distances take a fifth of the time of OpenCV's closing with a disc as large.
    near = (_distance(padded == 0) <= reach_px).view(np.uint8)
    filled = (_distance(near) > reach_px).view(np.uint8) | padded
    outlines, links = cv2.findContours(filled, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    holes = [np.asarray(line, np.int32) for line, (*_, parent) in zip(outlines, links[0], strict=True) if parent >= 0]
    width_px = filled.shape[1] - 2 * border
    lost = [hole for hole in holes if not _is_mediastinum(hole - border, width_px, pixel_mm * step)]
    cv2.drawContours(filled, lost, -1, 1, thickness=cv2.FILLED)
    result = np.zeros_like(lung)
    rows, columns = lung[box].shape
    inner = np.ascontiguousarray(filled[border:-border, border:-border])
    whole = np.asarray(cv2.resize(inner, (columns, rows), interpolation=cv2.INTER_NEAREST), np.uint8)
    result[box] = whole | lung[box]
    return result


def _bays(lungs: Sequence[ByteMask], pixel_mm: float) -> Iterable[ByteMask]:
    """What the rib cage holds beside each of two lungs or more: the bays in their outlines that open outwards.

    A bay opens outwards if the hull of all lungs closes it; that of one lung closes the heart's as well.
    """
    if len(lungs) < 2:
        return
    outer = np.zeros_like(lungs[0])
    # Three pixels wide, of which two lie inside.
    cv2.polylines(outer, [_hull(_joined(lungs))], isClosed=True, color=1, thickness=3)
    for lung in lungs:
        within = np.zeros_like(lung)
        cv2.drawContours(within, [_hull(lung)], -1, 1, thickness=cv2.FILLED)
        count, labels = cv2.connectedComponents(within & ~lung & 1, connectivity=4)
        areas = np.bincount(labels.ravel(), minlength=count)
        lids = np.bincount(labels[outer.view(np.bool_)], minlength=count)
        large = (areas * pixel_mm**2 >= MIN_BAY_CM2 * 100) & (lids * pixel_mm >= 2 * MIN_LID_MM)
        for label in (np.flatnonzero(large[1:]) + 1).tolist():
            bay = (labels == label).view(np.uint8)
            _, sides_px, _ = cv2.minAreaRect(cv2.findNonZero(bay))
            if max(sides_px) * pixel_mm <= MAX_BAY_MM:
                yield bay


def _hull(part: ByteMask) -> NDArray[np.int32]:
    """Convex hull as (n, 1, 2) points: of the ends of each row, for all pixels take a hundred times as long."""
    rows = np.flatnonzero(part.any(axis=1))
    there = part[rows].view(np.bool_)
    first, last = there.argmax(axis=1), part.shape[1] - 1 - there[:, ::-1].argmax(axis=1)
    ends = np.concatenate([np.stack([first, rows], axis=1), np.stack([last, rows], axis=1)])
    return np.asarray(cv2.convexHull(ends.astype(np.int32)), np.int32)


def _distance(part: NDArray[np.uint8] | NDArray[np.bool_]) -> NDArray[np.float32]:
    """Distance in pixels of each pixel of `part` to the nearest that is not of it; 0 there."""
    return np.asarray(cv2.distanceTransform(part.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5), np.float32)


def _is_mediastinum(hole: NDArray[np.int32], width_px: int, pixel_mm: float) -> bool:
    """Whether a hole in a component of `width_px` (x from 0) lies between two lungs rather than in one."""
    (left, right), middle = (hole[..., 0].min(), hole[..., 0].max()), width_px / 2
    return bool(
        width_px * pixel_mm > BOTH_LUNGS_MM
        and left < middle < right
        and cv2.contourArea(hole) * pixel_mm**2 > MEDIASTINUM_CM2 * 100
    )
