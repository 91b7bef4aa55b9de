"""Patches in three planes, against volumes whose value at any point is known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from app.imaging.ct import CTSlice, Orientation, SliceSource
from app.imaging.patches import PatchSpec, extract_patch
from app.imaging.planes import PLANES, PointVx, plane_patch, plane_patches
from app.imaging.volume import CTVolume

SPACING_MM = (2.5, 0.6, 0.8)
SPEC = PatchSpec(9, 0.5)


def volume_of(hu: NDArray[np.int16], spacing_mm: tuple[float, float, float] = SPACING_MM) -> CTVolume:
    slices, rows, columns = hu.shape
    return CTVolume(
        hu=hu,
        spacing_mm=spacing_mm,
        orientation=Orientation((1, 0, 0), (0, 1, 0)),
        positions_mm=tuple((0.0, 0.0, k * spacing_mm[0]) for k in range(slices)),
        sources=(SliceSource("array", rows, columns),) * slices,
    )


def ramp(along: int, shape: tuple[int, int, int] = (20, 40, 50)) -> CTVolume:
    """10 HU for each voxel along an axis (slice, row, column)."""
    return volume_of((10 * np.indices(shape)[along]).astype(np.int16))


def expected_ramp(centre: float, spacing_mm: float) -> NDArray[np.float64]:
    offsets_mm = (np.arange(SPEC.size_px) - SPEC.middle_px) * SPEC.spacing_mm
    return np.asarray(10 * (centre + offsets_mm / spacing_mm), np.float64)


@pytest.mark.parametrize("along", range(3))
def test_a_ramp_keeps_its_slope_in_mm_in_the_planes_that_hold_it(along: int) -> None:
    point: PointVx = (22.4, 18.7, 9.3)
    axial, coronal, sagittal = plane_patches(ramp(along), point, SPEC)
    line = expected_ramp(point[2 - along], SPACING_MM[along])
    flat = np.full(SPEC.size_px, 10.0 * round(point[2 - along]))
    rows = [np.broadcast_to(line[:, None], (9, 9)), np.broadcast_to(line, (9, 9)), np.broadcast_to(flat, (9, 9))]
    # (axial, coronal, sagittal): what runs down, across, or through each of them.
    seen = {0: (2, 0, 0), 1: (0, 2, 1), 2: (1, 1, 2)}[along]
    for patch, kind in zip((axial, coronal, sagittal), seen, strict=True):
        np.testing.assert_allclose(patch, rows[kind], atol=1e-3)


def test_the_axial_plane_is_the_patch_of_the_slice() -> None:
    rng = np.random.default_rng(1)
    volume = volume_of(rng.integers(-1000, 400, (6, 40, 50)).astype(np.int16))
    spec = PatchSpec(24, 0.78)
    found = plane_patch(volume, (20.3, 11.8, 3.4), "axial", spec)
    ct_slice: CTSlice = volume.slice_at(3)
    np.testing.assert_allclose(found, extract_patch(ct_slice, (20.3, 11.8), spec).hu, atol=1e-3)


def test_a_sphere_looks_the_same_from_every_side_of_an_anisotropic_volume() -> None:
    spacing = (1.25, 0.7, 0.7)
    z, y, x = (np.arange(n) * mm for n, mm in zip((40, 70, 70), spacing, strict=True))
    radius = np.sqrt((z[:, None, None] - 25) ** 2 + (y[:, None] - 24.5) ** 2 + (x - 24.5) ** 2)
    volume = volume_of((-850 + 880 / (1 + np.exp(radius - 6))).astype(np.int16), spacing)
    axial, coronal, sagittal = plane_patches(volume, (35.0, 35.0, 20.0), PatchSpec(32, 0.78))
    assert axial[16, 16] > 0
    assert axial[0, 0] < -800
    np.testing.assert_allclose(coronal, sagittal, atol=1)
    assert np.abs(axial - coronal).mean() < 3
    assert np.abs(axial - coronal).max() < 25


@pytest.mark.parametrize("point", [(0.0, 0.0, 0.0), (49.0, 39.0, 19.0), (-3.0, 44.0, 25.0)])
def test_beyond_the_volume_the_outermost_voxel_is_repeated(point: PointVx) -> None:
    volume = volume_of(np.random.default_rng(2).integers(-1000, 400, (20, 40, 50)).astype(np.int16))
    margin = 40
    padded = volume_of(np.pad(volume.hu, margin, mode="edge"))
    spec = PatchSpec(16, 1.0)
    column, row, index = point
    inside = (min(max(column, 0), 49), min(max(row, 0), 39), min(max(index, 0), 19))
    for plane in PLANES:
        fixed = {"axial": 2, "coronal": 1, "sagittal": 0}[plane]
        moved = [inside[k] if k == fixed else value for k, value in enumerate((column, row, index))]
        expected = plane_patch(padded, (moved[0] + margin, moved[1] + margin, moved[2] + margin), plane, spec)
        np.testing.assert_allclose(plane_patch(volume, point, plane, spec), expected, atol=1e-2)
