"""How dense contrast makes the blood between the lungs: what is as dense is no calcium."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from app.imaging.ct import CTSlice, PointPx
from app.imaging.lung_closing import ByteMask
from app.imaging.lung_survey import LungSurvey

ENHANCED_HU: Final = (90.0, 700.0)  # blood without contrast stays below 70; metal lies above
VESSEL_MM: Final = 8.0  # across: a chamber or a great vessel is wider, the cortex of a bone is not
MIN_VESSEL_MM2: Final = 150.0  # a descending aorta has twice as much
ANTERIOR: Final = 0.65  # of the lungs' height: the spine lies behind it in who lies on the back


def blood_pools_hu(ct_slice: CTSlice, survey: LungSurvey, point_px: PointPx) -> tuple[float, ...]:
    """Medians in HU of the enhanced vessels and chambers between the lungs, the lowest first.

    None without contrast, without lungs, or where a (column, row) point lies outside the lungs' common outline, as
    ribs do.
    """
    if not survey.lungs:
        return ()
    outline = _outline(survey.unclosed.view(np.uint8))
    rows, columns = outline.shape
    # The coarse pixels may leave out a last row or column of the slice.
    row = min(int((point_px[1] + 0.5) * ct_slice.spacing_mm[0] / survey.pixel_mm), rows - 1)
    column = min(int((point_px[0] + 0.5) * ct_slice.spacing_mm[1] / survey.pixel_mm), columns - 1)
    if not outline[max(row, 0), max(column, 0)]:
        return ()
    lowest, highest = ENHANCED_HU
    enhanced = ((survey.hu > lowest) & (survey.hu < highest) & (_anterior(outline) > 0)).astype(np.uint8)
    across = max(2, round(VESSEL_MM / survey.pixel_mm))
    wide = cv2.morphologyEx(enhanced, cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (across, across)))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(wide)
    areas_mm2 = stats[:, cv2.CC_STAT_AREA] * survey.pixel_mm**2
    pools = [n for n in range(1, count) if areas_mm2[n] >= MIN_VESSEL_MM2]
    return tuple(sorted(float(np.median(survey.hu[labels == n])) for n in pools))


def _outline(lungs: ByteMask) -> ByteMask:
    """The convex hull of the lungs, filled."""
    points = cv2.findNonZero(lungs)
    hull = np.zeros_like(lungs)
    cv2.fillConvexPoly(hull, cv2.convexHull(points), 1)
    return hull


def _anterior(outline: ByteMask) -> ByteMask:
    rows = np.flatnonzero(outline.any(axis=1))
    front = outline.copy()
    front[int(rows[0] + ANTERIOR * (rows[-1] - rows[0])) :] = 0
    return front
