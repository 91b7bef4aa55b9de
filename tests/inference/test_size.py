"""Sizes and densities of balls whose size is known, from masks as wide as the rim makes them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from app.imaging.patches import Patch, PatchSpec, PatchTransform
from app.inference.patch_outputs import Outline, find_outline
from app.inference.prediction import AttenuationClass, Measured, Trait
from app.inference.size import size_of, with_volume

SPEC = PatchSpec(64, 0.5)
TRANSFORM = PatchTransform(SPEC, (100.0, 80.0), (0.7, 0.7))
RIM_MM = 1.1
ROWS_MM, COLUMNS_MM = (np.mgrid[:64, :64] - SPEC.middle_px) * SPEC.spacing_mm
SOLID = (Trait("texture", 5.0, (1, 5)),)


def texture(value: float) -> tuple[Trait, ...]:
    return (Trait("texture", value, (1, 5)),)


def outline_of(long_mm: float, short_mm: float, softness_mm: float = 0.1) -> Outline:
    """A mask whose edge runs RIM_MM outside an ellipse, as soft as asked."""
    radius = np.hypot(COLUMNS_MM / (long_mm / 2 + RIM_MM), ROWS_MM / (short_mm / 2 + RIM_MM))
    depth_mm = (1 - radius) * (short_mm / 2 + RIM_MM)
    found = find_outline((1 / (1 + np.exp(-depth_mm / softness_mm))).astype(np.float32), TRANSFORM)
    assert found is not None
    return found


def patch(inner_hu: float, diameter_mm: float = 100.0, outer_hu: float = -600.0) -> Patch:
    """A disc of one density on another."""
    inside = np.hypot(COLUMNS_MM, ROWS_MM) < diameter_mm / 2
    return Patch(np.where(inside, inner_hu, outer_hu).astype(np.float32), TRANSFORM, 0.0)


@pytest.mark.parametrize(("long_mm", "short_mm"), [(6, 6), (8, 6), (14, 10), (24, 15)])
def test_axes_and_area_lie_within_the_rim(long_mm: float, short_mm: float) -> None:
    size = size_of(outline_of(long_mm, short_mm), patch(30), SOLID, RIM_MM)
    assert size.axes.long_mm == pytest.approx(long_mm, abs=0.3)
    assert size.axes.short_mm == pytest.approx(short_mm, abs=0.3)
    assert size.mean_mm.value == pytest.approx((long_mm + short_mm) / 2, abs=0.3)
    assert size.area_mm2 == pytest.approx(math.pi / 4 * long_mm * short_mm, rel=0.1)
    assert math.dist(*size.axes.long_px) * 0.7 == pytest.approx(long_mm, abs=0.3)
    longest = size.longest_mm()
    assert longest.low <= longest.value == size.axes.long_mm <= longest.high


def test_the_interval_is_as_wide_as_the_edge_is_soft() -> None:
    sharp, soft = (size_of(outline_of(12, 12, mm), patch(30), SOLID, RIM_MM).mean_mm for mm in (0.1, 0.4))
    assert sharp.high - sharp.low < soft.high - soft.low
    # The logistic edge is at 0.9 and 0.1 ln 9 of its softness inside and outside.
    assert soft.value - soft.low == pytest.approx(2 * 0.4 * math.log(9), abs=0.3)
    assert soft.high - soft.value == pytest.approx(2 * 0.4 * math.log(9), abs=0.3)


def test_what_is_smaller_than_its_rim_has_a_size_still() -> None:
    size = size_of(outline_of(0.1, 0.1), patch(30), SOLID, 3.0)
    assert size.mean_mm.value > 0
    assert size.mean_mm.low >= 0
    assert size.area_mm2 == 0


def test_a_volume_is_the_sum_over_sections() -> None:
    radius, apart = 10.0, 1.0
    heights = np.arange(-9.5, 10, apart)
    sections = [outline_of(2 * w, 2 * w) for w in np.sqrt(radius**2 - heights**2).tolist()]
    size = with_volume(size_of(outline_of(20, 20), patch(30), SOLID, RIM_MM), sections, RIM_MM, apart)
    assert size.volume_mm3 is not None
    assert size.volume_mm3.value == pytest.approx(4 / 3 * math.pi * radius**3, rel=0.05)
    assert size.volume_mm3.low < size.volume_mm3.value < size.volume_mm3.high


@pytest.mark.parametrize(
    ("rating", "classes"),
    [
        (5.0, ("solid",)),
        (3.8, ("solid",)),
        (3.6, ("solid", "part_solid")),
        (3.4, ("part_solid", "solid")),
        (3.0, ("part_solid",)),
        (2.6, ("part_solid", "non_solid")),
        (2.4, ("non_solid", "part_solid")),
        (1.0, ("non_solid",)),
    ],
)
def test_class_by_texture(rating: float, classes: tuple[AttenuationClass, ...]) -> None:
    found = size_of(outline_of(12, 12), patch(-550), texture(rating), RIM_MM).attenuation
    assert found.classes == classes
    assert (found.solid_mm is None) == ("part_solid" not in classes)


def test_calcium_by_density_and_only_where_most_of_it_is() -> None:
    full, partly = (size_of(outline_of(12, 12), patch(400, mm), SOLID, RIM_MM).attenuation for mm in (30, 5))
    assert (full.classes, full.calcified_share, full.median_hu) == (("calcified",), 1.0, 400.0)
    assert partly.classes == ("solid",)
    assert 0 < partly.calcified_share < 0.5


@pytest.mark.parametrize("solid_mm", [0.0, 4.0, 8.0])
def test_the_solid_part(solid_mm: float) -> None:
    found = size_of(outline_of(16, 16), patch(30, solid_mm), texture(3.0), RIM_MM).attenuation.solid_mm
    assert found is not None
    assert found.value == pytest.approx(solid_mm, abs=0.5)
    assert found.low <= found.value <= found.high


def test_without_a_rating_every_class_is_possible() -> None:
    assert len(size_of(outline_of(12, 12), patch(30), (), RIM_MM).attenuation.classes) == 3


def test_a_measurement_lies_in_its_interval() -> None:
    with pytest.raises(ValueError, match="interval"):
        Measured(3.0, 4.0, 5.0)
