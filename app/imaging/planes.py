"""Axial, coronal and sagittal patches around points of a volume, at a model's own pixel spacing."""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from app.imaging.ct import FloatImage
from app.imaging.patches import PatchSpec, resample
from app.imaging.volume import CTVolume

PlanePatches = NDArray[np.float32]
PointVx = tuple[float, float, float]
Plane = Literal["axial", "coronal", "sagittal"]
PLANES: Final[tuple[Plane, ...]] = ("axial", "coronal", "sagittal")  # in the order of the axis each is cut across


def plane_patches(volume: CTVolume, point: PointVx, spec: PatchSpec) -> PlanePatches:
    """Patches through one point of `volume`, float32 (3, size, size) in HU: axial, coronal, sagittal."""
    return np.stack([plane_patch(volume, point, plane, spec) for plane in PLANES])


def plane_patch(volume: CTVolume, point: PointVx, plane: Plane, spec: PatchSpec) -> FloatImage:
    """The patch through `point` in one plane, float32 (size, size) in HU.

    `point` is (column, row, slice), 0 at the centre of the first voxel. The axial patch has the image's axes; the rows
    of the others run from slice to slice. The patch lies in the voxel plane nearest to the point and is resampled as
    `patches.resample` does: linear where it is finer than the volume (as between slices), an area average where it is
    coarser, the outermost voxel repeated beyond the edge.
    """
    fixed, centre = PLANES.index(plane), point[::-1]
    down, across = (axis for axis in range(3) if axis != fixed)
    # Only what the patch needs becomes float: a whole plane would cost more the longer the series is.
    window = [_reach(centre[axis], volume.spacing_mm[axis], volume.hu.shape[axis], spec) for axis in range(3)]
    nearest = min(max(round(centre[fixed]), 0), volume.hu.shape[fixed] - 1)
    cut = list(window)
    cut[fixed] = slice(nearest, nearest + 1)
    image = volume.hu[tuple(cut)].squeeze(fixed).astype(np.float32)
    middle = (centre[across] - window[across].start, centre[down] - window[down].start)
    return resample(image, (volume.spacing_mm[down], volume.spacing_mm[across]), middle, spec)[0]


def _reach(centre: float, source_mm: float, length: int, spec: PatchSpec) -> slice:
    """The voxels that a patch around `centre` touches, at least one of them."""
    scale = spec.spacing_mm / source_mm
    half = (spec.size_px - 1) / 2 * scale + max(1.0, scale) + 1
    first = min(max(int(np.floor(centre - half)), 0), length - 1)
    return slice(first, max(first + 1, min(int(np.ceil(centre + half)) + 1, length)))
