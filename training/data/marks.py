"""From readers' contours to physical nodules: filled regions, which marks belong together, the largest section.

Readers drew just outside a nodule's edge (Armato et al. 2011). Here, as in `lidc-nodules`, a region is what the
contour encloses **with** the contour's own pixels: `lidc-nodules` gives the diameter of the circle of that area, which
is about 1.5 mm more than without the line.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from training.data.lidc_xml import Contour, Mark

SLICE_REACH: Final = 1  # marks touch when their regions overlap on the same slice or the next one


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """What one reader holds for nodule on one slice: `mask`, bool (height, width), its first pixel at `origin_px`.

    `middle_px` is the middle of the bounding box of the included contours, (column, row), floored to a pixel.
    """

    sop_uid: str
    origin_px: tuple[int, int]
    mask: NDArray[np.bool_]
    middle_px: tuple[int, int]

    @property
    def area_px(self) -> int:
        """Pixels inside, those of the contour included."""
        return int(np.count_nonzero(self.mask))

    def equivalent_diameter_mm(self, spacing_mm: float) -> float:
        """Diameter of the circle with the region's area."""
        return 2 * math.sqrt(self.area_px / math.pi) * spacing_mm

    def overlaps(self, other: Region) -> bool:
        """Whether a (column, row) pixel is in both, whatever their slices."""
        left, top = (max(a, b) for a, b in zip(self.origin_px, other.origin_px, strict=True))
        one, two = (r.mask[top - r.origin_px[1] :, left - r.origin_px[0] :] for r in (self, other))
        height, width = (min(a, b) for a, b in zip(one.shape, two.shape, strict=True))
        return bool((one[:height, :width] & two[:height, :width]).any())


@dataclass(frozen=True, slots=True, eq=False)
class DrawnMark:
    """A mark and its regions, one per slice on which anything is included."""

    mark: Mark
    regions: tuple[Region, ...]


def draw(mark: Mark) -> DrawnMark:
    """Fill a mark's contours slice by slice. Holes are cut out with their own line."""
    by_slice: dict[str, list[Contour]] = {}
    for contour in mark.contours:
        by_slice.setdefault(contour.sop_uid, []).append(contour)
    drawn = (c for c in by_slice.values() if any(contour.included for contour in c))
    return DrawnMark(mark, tuple(_region(contours) for contours in drawn))


def largest_region(marks: Iterable[DrawnMark]) -> Region:
    """The region of most pixels among all readers and slices; of equal ones the last reader's, as in `lidc-nodules`."""
    regions = [(region.area_px, drawn.mark.reader, region) for drawn in marks for region in drawn.regions]
    return max(regions, key=lambda entry: entry[:2])[2]


def group_marks(marks: Sequence[DrawnMark], heights: Mapping[str, int], z_to_px: float) -> list[list[DrawnMark]]:
    """Marks of one physical nodule together, at most one per reader, in the order of the file.

    Two marks can belong together when they touch: their regions share a pixel on the same slice or the next one.
    `heights` numbers the slices from below; `z_to_px` is the distance of two slices in pixels. Of several possible
    partners the nearest centre wins. A reader who marked one lesion twice makes two nodules of it, as in LIDC-IDRI.
    """
    centres = [_centre(drawn, heights, z_to_px) for drawn in marks]
    pairs = sorted(
        (math.dist(centres[a], centres[b]), a, b)
        for a, b in combinations(range(len(marks)), 2)
        if marks[a].mark.reader != marks[b].mark.reader and _touch(marks[a], marks[b], heights)
    )
    groups = [{k} for k in range(len(marks))]
    for _, a, b in pairs:
        if groups[a] is not groups[b] and not _readers(marks, groups[a]) & _readers(marks, groups[b]):
            groups[a] |= groups[b]
            for k in groups[b]:
                groups[k] = groups[a]
    firsts = sorted({min(group) for group in groups})
    return [sorted((marks[k] for k in groups[first]), key=lambda d: d.mark.reader) for first in firsts]


def _region(contours: Sequence[Contour]) -> Region:
    included = np.array([p for c in contours if c.included for p in c.points_px], np.int32)
    low, high = included.min(axis=0), included.max(axis=0)
    width, height = high - low + 1
    mask = np.zeros((height, width), np.uint8)
    for contour in sorted(contours, key=lambda c: not c.included):
        cv2.fillPoly(mask, [np.array(contour.points_px, np.int32) - low], int(contour.included))
    column, row = ((low + high) // 2).tolist()
    return Region(contours[0].sop_uid, (int(low[0]), int(low[1])), mask.astype(bool), (column, row))


def _centre(drawn: DrawnMark, heights: Mapping[str, int], z_to_px: float) -> tuple[float, float, float]:
    areas = np.array([r.area_px for r in drawn.regions], np.float64)
    places = np.array([(*r.middle_px, heights[r.sop_uid] * z_to_px) for r in drawn.regions])
    x, y, z = np.average(places, axis=0, weights=areas).tolist() if areas.any() else places[0].tolist()
    return (x, y, z)


def _touch(one: DrawnMark, other: DrawnMark, heights: Mapping[str, int]) -> bool:
    return any(
        abs(heights[a.sop_uid] - heights[b.sop_uid]) <= SLICE_REACH and a.overlaps(b)
        for a in one.regions
        for b in other.regions
    )


def _readers(marks: Sequence[DrawnMark], group: Iterable[int]) -> set[int]:
    return {marks[k].mark.reader for k in group}
