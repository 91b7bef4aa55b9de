"""The slice and its geometry."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from app.imaging.ct import CTSlice, Orientation, PointMm, SliceSource
from app.imaging.options import ReadOptions, Window

AXIAL = Orientation((1, 0, 0), (0, 1, 0))
THIRD = math.radians(30)


def ct_slice(**fields: Any) -> CTSlice:
    """40 rows, 50 columns, and pixels four times as wide as high."""
    plain = CTSlice(np.zeros((40, 50), np.float32), (0.5, 2.0), SliceSource("array", 40, 50))
    return replace(plain, **fields)


def test_a_slice_cannot_be_written_to() -> None:
    with pytest.raises(ValueError, match="read-only"):
        ct_slice().hu[0, 0] = 1


@pytest.mark.parametrize(
    "fields",
    [
        {"hu": np.zeros((40, 50), np.float64)},
        {"hu": np.zeros((40, 50, 1), np.float32)},
        {"hu": np.zeros((50, 40), np.float32)},
        {"spacing_mm": (0.0, 1.0)},
        {"spacing_mm": (1.0, 3.1)},
        {"spacing_mm": (math.nan, 1.0)},
        {"spacing_mm": (-0.7, -0.7)},
    ],
    ids=["dtype", "axes", "transposed", "zero spacing", "wide spacing", "no number", "negative spacing"],
)
def test_parts_that_do_not_fit_make_no_slice(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"hu|spacing"):
        ct_slice(**fields)


@pytest.mark.parametrize(
    ("row", "column"),
    [
        ((1, 0, 0), (1, 0, 0)),
        ((1, 0, 0), (0, 2, 0)),
        ((0, 0, 0), (0, 1, 0)),
        ((1, 0, 0), (0.1, 0.995, 0)),
        ((math.nan, 0, 0), (0, 1, 0)),
        ((math.inf, 0, 0), (0, 1, 0)),
    ],
    ids=["parallel", "long", "zero", "skew", "no number", "infinite"],
)
def test_orientation_needs_perpendicular_unit_vectors(row: PointMm, column: PointMm) -> None:
    with pytest.raises(ValueError, match="perpendicular"):
        Orientation(row, column)


def test_orientation_allows_rounded_decimal_strings() -> None:
    assert Orientation((0.8660, 0.5, 0), (-0.5, 0.8660, 0)).tilt_deg == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize(
    ("orientation", "normal", "tilt_deg"),
    [
        (AXIAL, (0, 0, 1), 0),
        (Orientation((-1, 0, 0), (0, 1, 0)), (0, 0, -1), 0),
        (Orientation((1, 0, 0), (0, math.cos(THIRD), math.sin(THIRD))), (0, -0.5, math.sqrt(3) / 2), 30),
        (Orientation((1, 0, 0), (0, 0, -1)), (0, 1, 0), 90),
    ],
    ids=["axial", "mirrored", "tilted", "coronal"],
)
def test_normal_and_tilt(orientation: Orientation, normal: PointMm, tilt_deg: float) -> None:
    assert orientation.normal == pytest.approx(normal)
    assert orientation.tilt_deg == pytest.approx(tilt_deg)


@pytest.mark.parametrize(
    ("orientation", "expected_mm"),
    [
        # Column 3 lies 3 x 2.0 mm along the row, row 4 lies 4 x 0.5 mm along the column.
        (AXIAL, (-100 + 6, -200 + 2, 50)),
        (Orientation((-1, 0, 0), (0, -1, 0)), (-100 - 6, -200 - 2, 50)),
        (Orientation((0, 1, 0), (0, 0, -1)), (-100, -200 + 6, 50 - 2)),
        (
            Orientation((1, 0, 0), (0, math.cos(THIRD), math.sin(THIRD))),
            (-94, -200 + 2 * math.cos(THIRD), 50 + 2 * math.sin(THIRD)),
        ),
    ],
    ids=["axial", "flipped", "sagittal", "oblique"],
)
def test_pixels_to_patient_millimetres(orientation: Orientation, expected_mm: PointMm) -> None:
    placed = ct_slice(orientation=orientation, position_mm=(-100.0, -200.0, 50.0))
    assert placed.to_patient_mm((3, 4)) == pytest.approx(expected_mm)
    assert placed.to_patient_mm((0, 0)) == (-100, -200, 50)


def test_without_position_or_orientation_there_are_no_millimetres() -> None:
    assert ct_slice(orientation=AXIAL).to_patient_mm((0, 0)) is None
    assert ct_slice(position_mm=(0.0, 0.0, 0.0)).to_patient_mm((0, 0)) is None


@pytest.mark.parametrize(
    ("point", "inside"),
    [((-0.5, -0.5), True), ((49.5, 39.5), True), ((-0.51, 0), False), ((0, 39.6), False), ((math.nan, 0), False)],
)
def test_contains_counts_pixel_borders(point: tuple[float, float], inside: bool) -> None:
    assert ct_slice().contains(point) is inside


@pytest.mark.parametrize("spacing_mm", [(0.05, 0.7), (0.7, 3.5), (math.nan, 0.7)])
def test_options_refuse_spacing_no_scanner_has(spacing_mm: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="spacing"):
        ReadOptions(pixel_spacing_mm=spacing_mm)


@pytest.mark.parametrize(("centre", "width"), [(0, 0.5), (0, 1e9), (1e9, 100), (math.nan, 100), (0, math.nan)])
def test_a_window_needs_a_width(centre: float, width: float) -> None:
    with pytest.raises(ValueError, match="window"):
        Window(centre, width)


def test_a_window_has_two_ends() -> None:
    assert (Window(-600, 1500).low_hu, Window(-600, 1500).high_hu) == (-1350, 150)
