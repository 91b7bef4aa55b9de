"""How large and how dense a nodule is: from its outline on one section and, in a series, on all."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from app.imaging.axes import Axes, axes_of
from app.imaging.ct import FloatImage, PointPx
from app.imaging.lungs import median
from app.imaging.patches import Patch
from app.inference.model import Model
from app.inference.patch_outputs import FINER, Outline
from app.inference.prediction import Attenuation, AttenuationClass, Measured, Size, Trait

CALCIUM_HU: Final = 200.0  # above soft tissue, and above most enhanced nodules
MIN_CALCIFIED: Final = 0.5  # of the core: less is not called calcified, for its pattern is not told
# The solid part lies above the first: between the mediastinal window's and the low threshold of Lee et al. 2018
# (doi 10.1371/journal.pone.0205490), at which its interval ends.
SOLID_HU: Final = (-300.0, -160.0, -400.0)
NON_SOLID_BELOW: Final = 2.5  # of the texture, on which LIDC's readers called 1 non-solid, 3 part-solid and 5 solid
SOLID_FROM: Final = 3.5
DOUBT: Final = 0.25  # of a rating on either side of these
NEIGHBOURS: Final = np.ones((3, 3), np.uint8)

Mask = NDArray[np.bool_]


def rim_mm_of(patch: Patch, model: Model) -> float:
    """How far an outline on this patch runs outside the nodule: twice as far where a mass is shown at half its size."""
    return model.manifest.outline_rim_mm * patch.transform.spec.spacing_mm / model.patch_spec.spacing_mm


def size_of(outline: Outline, patch: Patch, traits: Sequence[Trait], rim_mm: float) -> Size:
    """Size and density of a nodule on the section from which `patch` was cut; its outline runs `rim_mm` outside it."""
    grain_mm = patch.transform.spec.spacing_mm / FINER
    drawn = axes_of(outline.points_px, patch.transform.source_spacing_mm, grain_mm)
    axes = _within(drawn, rim_mm)
    widths = [_width_mm(area, rim_mm) for area in (outline.sure_mm2, outline.area_mm2, outline.possible_mm2)]
    mean_mm = axes.mean_mm
    return Size(
        axes=axes,
        mean_mm=Measured(mean_mm, max(0.0, mean_mm - (widths[1] - widths[0])), mean_mm + (widths[2] - widths[1])),
        area_mm2=_area_mm2(outline.area_mm2, rim_mm),
        attenuation=_attenuation(_inside(outline.component, rim_mm, patch), patch, traits),
    )


def with_volume(size: Size, outlines: Sequence[Outline], rim_mm: float, apart_mm: float) -> Size:
    """The same with the volume of a nodule whose sections, `apart_mm` from each other, have these outlines."""
    kinds = ([o.area_mm2 for o in outlines], [o.sure_mm2 for o in outlines], [o.possible_mm2 for o in outlines])
    value, low, high = (sum(_area_mm2(area, rim_mm) for area in areas) * apart_mm for areas in kinds)
    return replace(size, volume_mm3=Measured(value, low, high))


def _width_mm(area_mm2: float, rim_mm: float) -> float:
    """Diameter of the circle of an outline's area, without its rim."""
    return max(0.0, 2 * math.sqrt(area_mm2 / math.pi) - 2 * rim_mm)


def _area_mm2(area_mm2: float, rim_mm: float) -> float:
    return math.pi / 4 * _width_mm(area_mm2, rim_mm) ** 2


def _within(axes: Axes, rim_mm: float) -> Axes:
    """The axes without the rim at each end; half of a length at most is taken for rim."""
    (long_mm, long_px), (short_mm, short_px) = (
        _shortened(length, ends, rim_mm)
        for length, ends in ((axes.long_mm, axes.long_px), (axes.short_mm, axes.short_px))
    )
    return Axes(long_mm, short_mm, long_px, short_px)


def _shortened(length_mm: float, ends: tuple[PointPx, PointPx], rim_mm: float) -> tuple[float, tuple[PointPx, PointPx]]:
    share = min(rim_mm / length_mm, 0.25) if length_mm > 0 else 0.0
    (ax, ay), (bx, by) = ends
    moved = ((ax + share * (bx - ax), ay + share * (by - ay)), (bx - share * (bx - ax), by - share * (by - ay)))
    return length_mm * (1 - 2 * share), moved


def _inside(component: Mask, rim_mm: float, patch: Patch) -> Mask:
    """What of an outline lies within its rim; all of it where nothing does."""
    steps = round(rim_mm / patch.transform.spec.spacing_mm)
    inside = cv2.erode(component.view(np.uint8), NEIGHBOURS, iterations=steps).view(np.bool_)
    return inside if inside.any() else component


def _attenuation(inside: Mask, patch: Patch, traits: Sequence[Trait]) -> Attenuation:
    values = patch.hu[inside]
    calcified_share = float(np.count_nonzero(values >= CALCIUM_HU)) / values.size
    classes = _classes({trait.name: trait.value for trait in traits}, calcified_share)
    solid_mm = _solid_mm(inside, patch.hu, patch.transform.spec.spacing_mm) if "part_solid" in classes else None
    return Attenuation(classes, median(values), calcified_share, solid_mm)


def _classes(ratings: Mapping[str, float], calcified_share: float) -> tuple[AttenuationClass, ...]:
    if calcified_share >= MIN_CALCIFIED:
        return ("calcified",)
    texture = ratings.get("texture")
    if texture is None:
        return ("solid", "part_solid", "non_solid")
    named = {_class(texture): None, _class(texture - DOUBT): None, _class(texture + DOUBT): None}
    return tuple(named)


def _class(texture: float) -> AttenuationClass:
    return "non_solid" if texture < NON_SOLID_BELOW else "part_solid" if texture < SOLID_FROM else "solid"


def _solid_mm(inside: Mask, hu: FloatImage, pixel_mm: float) -> Measured:
    """Mean diameter of the largest solid part; 0 where there is none."""
    value, least, most = (_largest_mm(inside & (hu >= threshold), pixel_mm) for threshold in SOLID_HU)
    return Measured(value, min(least, value), max(most, value))


def _largest_mm(solid: Mask, pixel_mm: float) -> float:
    _, labels, stats, _ = cv2.connectedComponentsWithStats(solid.view(np.uint8))
    if len(stats) < 2:
        return 0.0
    part = np.asarray(labels == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax()), np.uint8)
    border, _ = cv2.findContours(part, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return axes_of(border[0][:, 0].astype(np.float64), (pixel_mm, pixel_mm), pixel_mm).mean_mm
