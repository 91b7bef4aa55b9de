"""Blends a nodule's cube into a whole scan, so that a series holds a nodule whose place is known.

As `benchmarks.planting` does it for a slice, through all slices: the outline, dilated and feathered, is the blending
weight, and a slice gets the mean of what its thickness spans. A nodule may be enlarged, and may be put onto a wall:
there the denser of both stays.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.planting import DILATION_MM, FEATHER_MM, LUNG_LIKE_HU, NOISE_LIMIT, NOISE_SIGMA_PX, RING_MM, TISSUE_HU
from benchmarks.scan.cubes import CUBE_MM, Cube

Volume = NDArray[np.float32]
Mask = NDArray[np.bool_]
Voxel = tuple[int, int, int]
Spacing = tuple[float, float, float]


@dataclass(frozen=True, slots=True, eq=False)
class VolumeGraft:
    """A nodule on the voxel grid of the scan it goes to, (slice, row, column) with odd sides.

    `hu`, its blending `weight` 0-1, its `core` inside the outline, and `ring` the lung around it, whose median and
    standard deviation are `background_hu` and `noise_hu`. `wall` is the share of what surrounds it that is no lung.
    """

    hu: Volume
    weight: Volume
    core: Mask
    ring: Mask
    background_hu: float
    noise_hu: float
    wall: float

    @property
    def half(self) -> Voxel:
        """Voxels from the middle to the side, each way."""
        slices, rows, columns = (n // 2 for n in self.hu.shape)
        return slices, rows, columns


def graft_cube(cube: Cube, spacing_mm: Spacing, enlarged: float = 1.0) -> VolumeGraft:
    """Resample a nodule, `enlarged` so many times in each direction, to voxels of `spacing_mm` (slice, row, column)."""
    middle = np.array(ndimage.center_of_mass(cube.mask))
    extent_mm = np.abs(np.argwhere(cube.mask) - middle).max(axis=0) * CUBE_MM * enlarged
    half = [math.ceil((extent + RING_MM) / mm) for extent, mm in zip(extent_mm, spacing_mm, strict=True)]
    offsets = [np.arange(-n, n + 1) * mm / (CUBE_MM * enlarged) for n, mm in zip(half, spacing_mm, strict=True)]
    at = np.meshgrid(*(o + m for o, m in zip(offsets, middle, strict=True)), indexing="ij")
    hu = _sampled(cube.hu.astype(np.float32), at, spacing_mm, enlarged)
    core = _sampled(cube.mask.astype(np.float32), at, spacing_mm, enlarged) > 0.5
    if not core.any():
        raise ValueError(f"nodule {cube.nodule.nodule_id} is smaller than a voxel")
    outside_mm = ndimage.distance_transform_edt(~core, sampling=spacing_mm)
    around = (outside_mm > DILATION_MM) & (outside_mm <= RING_MM)
    ring = around & (hu < LUNG_LIKE_HU)
    beyond = np.clip((outside_mm - DILATION_MM) / FEATHER_MM, 0, 1)
    return VolumeGraft(
        hu=hu,
        weight=(0.5 + 0.5 * np.cos(np.pi * beyond)).astype(np.float32),
        core=core,
        ring=ring,
        background_hu=float(np.median(hu[ring])) if ring.any() else float(hu.min()),
        noise_hu=_noise_hu(hu, ring),
        wall=1 - float(ring.sum() / around.sum()),
    )


def plant_cube(hu: NDArray[np.int16], graft: VolumeGraft, place: Voxel) -> NDArray[np.int16]:
    """A copy of the volume with the graft's middle on the (slice, row, column) voxel `place`.

    Beyond the blending weight nothing changes. Raises ValueError where the graft does not lie wholly inside.
    """
    window = _window(hu.shape, graft, place)
    under = hu[window].astype(np.float32)
    lung = under[graft.ring & (under < LUNG_LIKE_HU)]
    background = float(np.median(lung)) if len(lung) else graft.background_hu
    # The denser a voxel, the less lung is in it: only that part takes the density of the place.
    tissue = np.clip((graft.hu - graft.background_hu) / (TISSUE_HU - graft.background_hu), 0, 1)
    moved = graft.hu + (1 - tissue) * np.float32(background - graft.background_hu)
    blended = under + graft.weight * (moved + _missing_noise(graft, under) - under)
    # A wall stays where it is: a nodule grows onto it, not lung into it.
    blended = np.where(under > LUNG_LIKE_HU, np.maximum(under, blended), blended)
    planted = hu.copy()
    planted[window] = np.rint(np.where(graft.weight > 0, blended, under)).astype(np.int16)
    return planted


def _sampled(image: Volume, at: Sequence[NDArray[np.float64]], spacing_mm: Spacing, enlarged: float) -> Volume:
    """Linear, after an average over as many voxels as one of the new ones spans."""
    for axis, mm in enumerate(spacing_mm):
        span = round(mm / (CUBE_MM * enlarged))
        if span > 1:
            image = ndimage.uniform_filter1d(image, span, axis=axis, mode="nearest")
    return np.asarray(ndimage.map_coordinates(image, at, order=1, mode="nearest"), np.float32)


def _window(shape: tuple[int, ...], graft: VolumeGraft, place: Voxel) -> tuple[slice, ...]:
    window = tuple(slice(p - h, p + h + 1) for p, h in zip(place, graft.half, strict=True))
    if any(w.start < 0 or w.stop > n for w, n in zip(window, shape, strict=True)):
        raise ValueError(f"a graft of {graft.hu.shape} voxels does not fit at {place} of {shape}")
    return window


def _missing_noise(graft: VolumeGraft, under: Volume) -> Volume:
    """The place's own noise, as much of it as the source lacks: its grain is the scanner's."""
    found = _noise_hu(under, graft.ring & (under < LUNG_LIKE_HU))
    if found <= graft.noise_hu:
        return np.zeros_like(under)
    share = math.sqrt(found**2 - graft.noise_hu**2) / found
    limit = NOISE_LIMIT * found
    return np.asarray(np.clip(_residual(under), -limit, limit) * np.float32(share), np.float32)


def _noise_hu(hu: Volume, where: Mask) -> float:
    """Robust standard deviation of what a small blur in each slice takes away; 0 where there is nothing to measure."""
    return float(1.4826 * np.median(np.abs(_residual(hu)[where]))) if where.any() else 0.0


def _residual(hu: Volume) -> Volume:
    blurred = ndimage.gaussian_filter(hu, (0, NOISE_SIGMA_PX, NOISE_SIGMA_PX))
    return np.asarray(hu - blurred, np.float32)
