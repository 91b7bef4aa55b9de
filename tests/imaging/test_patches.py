"""Patches and their transform."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.imaging.ct import CTSlice, FloatImage, SliceSource
from app.imaging.patches import PatchSpec, PatchTransform, extract_patch, resample

SPEC = PatchSpec(33, 0.7)
SPACINGS = st.floats(0.35, 2.0)
CENTRES = st.floats(90, 110)
MAX_COARSE_SHIFT_PX = 0.1  # a widened triangle, sampled at pixels, has its centre of mass this far off at most
deterministic = settings(derandomize=True, deadline=None, max_examples=60)


def ct_slice(hu: FloatImage, spacing_mm: tuple[float, float]) -> CTSlice:
    rows, columns = hu.shape
    return CTSlice(hu, spacing_mm, SliceSource("array", rows, columns))


def ramp(columns: float, rows: float) -> FloatImage:
    y, x = np.mgrid[:200, :200]
    return np.asarray(columns * x + rows * y, np.float32)


@pytest.mark.parametrize(("size", "spacing"), [(0, 0.7), (48, 0.0), (48, -1.0), (48, float("nan"))])
def test_a_patch_needs_a_size_and_a_spacing(size: int, spacing: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        PatchSpec(size, spacing)


@pytest.mark.parametrize(("size", "centre"), [(33, (100.0, 80.0)), (48, (100.5, 80.5))], ids=["odd", "even"])
def test_at_the_same_spacing_on_whole_pixels_a_patch_is_a_copy(size: int, centre: tuple[float, float]) -> None:
    noise = np.random.default_rng(0).normal(-500, 300, (200, 200)).astype(np.float32)
    patch = extract_patch(ct_slice(noise, (0.7, 0.7)), centre, PatchSpec(size, 0.7))
    left, top = round(centre[0] - (size - 1) / 2), round(centre[1] - (size - 1) / 2)
    assert np.array_equal(patch.hu, noise[top : top + size, left : left + size])
    assert patch.outside == 0


@deterministic
@given(column=CENTRES, row=CENTRES, row_mm=SPACINGS, column_mm=SPACINGS)
def test_a_linear_ramp_stays_one(column: float, row: float, row_mm: float, column_mm: float) -> None:
    source = ct_slice(ramp(2, -3), (row_mm, column_mm))
    patch = extract_patch(source, (column, row), SPEC)
    rows_px, columns_px = np.mgrid[:33, :33]
    at = patch.transform.to_source_px(np.stack([columns_px.ravel(), rows_px.ravel()], axis=1))
    expected = (at @ np.array([2.0, -3.0])).reshape(33, 33)
    fine = min(row_mm, column_mm) >= SPEC.spacing_mm
    assert np.abs(patch.hu - expected).max() < (0.01 if fine else 5 * MAX_COARSE_SHIFT_PX)


@deterministic
@given(value=st.floats(-1024, 3071), row_mm=SPACINGS, column_mm=SPACINGS, column=st.floats(-50, 250))
def test_a_constant_stays_one_even_beyond_the_edge(
    value: float, row_mm: float, column_mm: float, column: float
) -> None:
    image = np.full((60, 60), value, np.float32)
    hu, _ = resample(image, (row_mm, column_mm), (column, 30), SPEC)
    assert np.allclose(hu, np.float32(value), rtol=1e-5, atol=1e-3)


@deterministic
@given(
    centre=st.tuples(CENTRES, CENTRES),
    spacing_mm=st.tuples(SPACINGS, SPACINGS),
    points=st.lists(st.tuples(st.floats(-500, 500), st.floats(-500, 500)), min_size=1, max_size=5),
)
def test_the_transform_comes_back(
    centre: tuple[float, float], spacing_mm: tuple[float, float], points: list[tuple[float, float]]
) -> None:
    transform = PatchTransform(SPEC, centre, spacing_mm)
    there = np.array(points)
    assert np.allclose(transform.to_source_px(transform.to_patch_px(there)), there, atol=1e-6)
    assert np.allclose(transform.to_patch_px(transform.to_source_px(there)), there, atol=1e-6)
    assert np.allclose(transform.to_source_px(np.array([[16.0, 16.0]])), [centre])


@pytest.mark.parametrize("spacing_mm", [(0.7, 0.7), (0.5, 1.0), (1.4, 0.35), (0.9, 0.6)])
def test_a_planted_dot_lands_where_the_transform_says(spacing_mm: tuple[float, float]) -> None:
    column, row = 104, 95
    y, x = np.mgrid[:200, :200]
    distance_mm = np.hypot((x - column) * spacing_mm[1], (y - row) * spacing_mm[0])
    dot = (1000 * np.exp(-((distance_mm / 2) ** 2))).astype(np.float32)
    patch = extract_patch(ct_slice(dot, spacing_mm), (101.3, 97.8), PatchSpec(48, 0.7))
    rows_px, columns_px = np.mgrid[:48, :48]
    centre_of_mass = [float((axis * patch.hu).sum() / patch.hu.sum()) for axis in (columns_px, rows_px)]
    (expected,) = patch.transform.to_patch_px(np.array([[column, row]]))
    assert centre_of_mass == pytest.approx(expected, abs=0.05)


def test_columns_and_rows_are_not_exchanged() -> None:
    source = ct_slice(ramp(1, 0), (1.0, 0.5))
    assert float(extract_patch(source, (100, 40), SPEC).hu[16, 16]) == pytest.approx(100, abs=0.01)


def test_a_finer_source_is_averaged_not_sampled() -> None:
    stripes = np.tile(np.array([0, 1000], np.float32), (200, 100))
    hu, _ = resample(stripes, (0.35, 0.35), (100, 100), SPEC)
    assert np.abs(hu - 500).max() < 1


@pytest.mark.parametrize(
    ("centre", "outside"),
    [((100, 100), 0.0), ((-0.5, 100), 16 / 33), ((0, 0), 1 - (17 / 33) ** 2), ((1000, 100), 1.0)],
    ids=["inside", "on the border", "in the corner", "far away"],
)
def test_the_fraction_outside(centre: tuple[float, float], outside: float) -> None:
    patch = extract_patch(ct_slice(ramp(1, 1), (0.7, 0.7)), centre, SPEC)
    assert patch.outside == pytest.approx(outside)


def test_beyond_the_edge_the_outermost_pixel_is_repeated() -> None:
    hu, _ = resample(ramp(1, 0) + 7, (0.7, 0.7), (0, 100), SPEC)
    assert np.all(hu[:, :17] == 7)
    assert np.array_equal(hu[0, 16:], np.arange(7, 24, dtype=np.float32))
