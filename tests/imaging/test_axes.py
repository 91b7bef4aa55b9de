"""Axes of outlines whose axes are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.imaging.axes import axes_of

MM = (0.7, 0.7)


def ellipse(long_mm: float, short_mm: float, turned_deg: float, spacing_mm: tuple[float, float]) -> np.ndarray:
    """Column, row of an ellipse around (100, 80) px on pixels of (row, column) spacing."""
    at, turn = np.linspace(0, 2 * math.pi, 180, endpoint=False), math.radians(turned_deg)
    along, across = long_mm / 2 * np.cos(at), short_mm / 2 * np.sin(at)
    x, y = along * math.cos(turn) - across * math.sin(turn), along * math.sin(turn) + across * math.cos(turn)
    return np.stack([100 + x / spacing_mm[1], 80 + y / spacing_mm[0]], axis=1)


@given(st.floats(3, 60), st.floats(0.3, 0.95), st.floats(0, 180), st.tuples(st.floats(0.3, 1.5), st.floats(0.3, 1.5)))
@settings(derandomize=True, deadline=None, max_examples=60)
def test_axes_of_an_ellipse_in_any_direction_on_any_pixels(
    long_mm: float, ratio: float, turned_deg: float, spacing_mm: tuple[float, float]
) -> None:
    axes = axes_of(ellipse(long_mm, long_mm * ratio, turned_deg, spacing_mm), spacing_mm)
    assert axes.long_mm == pytest.approx(long_mm, rel=0.005)
    assert axes.short_mm == pytest.approx(long_mm * ratio, rel=0.02)
    assert axes.mean_mm == pytest.approx((axes.long_mm + axes.short_mm) / 2)
    pixel_mm = np.array([spacing_mm[1], spacing_mm[0]])
    (a, b), (c, d) = (np.array(ends) * pixel_mm for ends in (axes.long_px, axes.short_px))
    assert np.hypot(*(b - a)) == pytest.approx(axes.long_mm, rel=1e-4)
    assert np.hypot(*(d - c)) == pytest.approx(axes.short_mm, rel=1e-4)
    assert abs((b - a) @ (d - c)) <= 1e-3 * axes.long_mm * axes.short_mm


def test_a_rectangle_is_measured_along_its_diagonal() -> None:
    corners = np.array([[0, 0], [40, 0], [40, 30], [0, 30]], np.float64)
    axes = axes_of(corners, (1.0, 1.0))
    assert axes.long_mm == pytest.approx(50)
    assert axes.short_mm == pytest.approx(37.5)  # at right angles through a corner: 30 / 0.8


def test_dents_are_bridged_and_a_point_has_the_size_of_its_grain() -> None:
    round_one = ellipse(20, 20, 0, MM)
    dented = round_one.copy()
    dented[40:50] = (100, 80)
    assert axes_of(dented, MM).short_mm == pytest.approx(axes_of(round_one, MM).short_mm, rel=0.02)
    point = axes_of(np.array([[5.0, 6.0]]), MM, grain_mm=0.25)
    assert (point.long_mm, point.short_mm) == (0.25, 0.25)
    corner = axes_of(np.array([[0.0, -0.0], [-0.0, 0.0]]), MM, grain_mm=0.25)
    assert (corner.long_mm, corner.short_mm) == (0.25, 0.25)
    line = axes_of(np.array([[5.0, 6.0], [15.0, 6.0]]), MM)
    assert line.long_mm == pytest.approx(7.0)
    assert line.short_mm == pytest.approx(0.0)
