"""One nodule in two scans, now and before: what surrounds it side by side at one scale, and below it both slices."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from app.explain.canvas import Rgb, draw_line, draw_text
from app.explain.palette import FOR
from app.explain.tiles import GAP_PX, Crop, crop_tile, overview, words_px
from app.explain.window import LUNG
from app.imaging.ct import CTSlice, PointPx
from app.inference.prediction import Finding

SIDE_PX: Final = 420  # of a tile
MARK_MM: Final = 6.0  # reach of the mark at a place where nothing was found, and MARK_GAP_MM of the gap in it
MARK_GAP_MM: Final = 3.0


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """One of two scans: lines of words, the slice on which the nodule is shown and where, and the finding there if
    there is one. Without a slice the scan does not show the place."""

    words: tuple[str, ...]
    ct_slice: CTSlice | None = None
    centre_px: PointPx = (0.0, 0.0)
    finding: Finding | None = None

    @property
    def reach_mm(self) -> float:
        """How much of it a tile should show."""
        if self.ct_slice is None or self.finding is None:
            return 0.0
        return Crop.around(self.finding, self.ct_slice, SIDE_PX).side_mm


def draw_pair(now: Side, before: Side) -> Rgb:
    """uint8 RGB: four tiles, of the current scan at the left and of the prior one at the right."""
    side_mm = max(now.reach_mm, before.reach_mm)
    columns = [_column(side, side_mm) for side in (now, before)]
    gap = np.zeros((columns[0].shape[0], GAP_PX, 3), np.uint8)
    return np.concatenate([columns[0], gap, columns[1]], axis=1)


def _column(side: Side, side_mm: float) -> Rgb:
    gap = np.zeros((GAP_PX, SIDE_PX, 3), np.uint8)
    if side.ct_slice is None:
        return np.concatenate([_nothing(side), gap, np.zeros((SIDE_PX, SIDE_PX, 3), np.uint8)])
    crop = Crop(side.centre_px, side.ct_slice.spacing_mm, side_mm, SIDE_PX)
    # Two measurements are compared: both are drawn, whatever either counts for.
    drawn = None if side.finding is None else replace(side.finding, suspicion=None)
    near = crop_tile(crop, side.ct_slice, LUNG, side.words, drawn)
    if side.finding is None:
        _mark_place(near, crop)
    return np.concatenate([near, gap, overview(side.ct_slice, SIDE_PX, crop)])


def _nothing(side: Side) -> Rgb:
    tile, size = np.zeros((SIDE_PX, SIDE_PX, 3), np.uint8), words_px(SIDE_PX)
    for number, line in enumerate(side.words):
        draw_text(tile, line, (GAP_PX, GAP_PX + 1.4 * number * size), size)
    return tile


def _mark_place(tile: Rgb, crop: Crop) -> None:
    """A cross that leaves its middle free, for nothing to be taken for a line of it; in place."""
    middle = np.array([(SIDE_PX - 1) / 2, (SIDE_PX - 1) / 2])
    for towards in np.array([(1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0)]):
        ends = [middle + towards * reach * crop.per_mm for reach in (MARK_GAP_MM, MARK_MM)]
        draw_line(tile, np.array(ends), colour=FOR)
