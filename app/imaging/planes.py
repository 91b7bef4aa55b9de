"""Axial, coronal and sagittal patches around points of a volume, at a model's own pixel spacing."""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from app.imaging.ct import FloatImage
from app.imaging.patches import AxisSamples, PatchSpec
from app.imaging.volume import CTVolume

PlanePatches = NDArray[np.float32]
PointVx = tuple[float, float, float]
Plane = Literal["axial", "coronal", "sagittal"]
PLANES: Final[tuple[Plane, ...]] = ("axial", "coronal", "sagittal")  # in the order of the axis each is cut across


def plane_patches(volume: CTVolume, point: PointVx, spec: PatchSpec) -> PlanePatches:
    """Patches through one point of `volume`, float32 (3, size, size) in HU: axial, coronal, sagittal."""
    samples = _samples(volume, point, spec)
    return np.stack([_cut(volume, point, fixed, samples) for fixed in range(len(PLANES))])


def plane_patch(volume: CTVolume, point: PointVx, plane: Plane, spec: PatchSpec) -> FloatImage:
    """The patch through `point` in one plane, float32 (size, size) in HU.

    `point` is (column, row, slice), 0 at the centre of the first voxel. The axial patch has the image's axes; the rows
    of the others run from slice to slice. The patch lies in the voxel plane nearest to the point and is resampled as
    `patches.AxisSamples` are: linear where it is finer than the volume (as between slices), an area average where it is
    coarser, the outermost voxel repeated beyond the edge.
    """
    return _cut(volume, point, PLANES.index(plane), _samples(volume, point, spec))


def _samples(volume: CTVolume, point: PointVx, spec: PatchSpec) -> list[AxisSamples]:
    """Along each axis of the volume."""
    axes = zip(point[::-1], volume.spacing_mm, volume.hu.shape, strict=True)
    return [AxisSamples.around(centre, voxel_mm, length, spec) for centre, voxel_mm, length in axes]


def _cut(volume: CTVolume, point: PointVx, fixed: int, samples: list[AxisSamples]) -> FloatImage:
    """Across one axis of the volume, which the patch does not extend along."""
    nearest = min(max(round(point[::-1][fixed]), 0), volume.hu.shape[fixed] - 1)
    down, across = (axis for number, axis in enumerate(samples) if number != fixed)
    voxels = (slice(None),) * fixed + (nearest,)
    return down.by(across, volume.hu[voxels])  # a view: only what the patch needs is copied
