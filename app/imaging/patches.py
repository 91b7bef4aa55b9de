"""Patches at the model's own pixel spacing, each carrying its transform back. Serving and training share this."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from app.imaging.ct import CTSlice, FloatImage, PointPx

Points = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PatchSpec:
    """A square patch of `size_px` pixels of `spacing_mm` millimetres, as a model's manifest states it."""

    size_px: int
    spacing_mm: float

    def __post_init__(self) -> None:
        if self.size_px < 1 or not self.spacing_mm > 0:
            raise ValueError(f"a patch needs a positive size and spacing, not {self}")

    @property
    def middle_px(self) -> float:
        """Coordinate of the patch's centre on either of its own axes."""
        return (self.size_px - 1) / 2

    def zoomed(self, zoom: float) -> PatchSpec:
        """As many pixels, each `zoom` times as large: 2 sees a mass of 40 mm as one of 20."""
        return replace(self, spacing_mm=self.spacing_mm * zoom)


@dataclass(frozen=True, slots=True)
class PatchTransform:
    """Maps a patch's own (column, row) pixels to those of the image it was cut from, and back."""

    spec: PatchSpec
    centre_px: PointPx
    source_spacing_mm: tuple[float, float]

    @property
    def _scale(self) -> Points:
        rows_mm, columns_mm = self.source_spacing_mm
        return np.array([self.spec.spacing_mm / columns_mm, self.spec.spacing_mm / rows_mm])

    @property
    def _centre(self) -> Points:
        return np.array(self.centre_px, np.float64)

    def to_source_px(self, points: Points) -> Points:
        """(N, 2) patch (column, row) to (N, 2) source (column, row), both in pixels."""
        return self._centre + (points - self.spec.middle_px) * self._scale

    def to_patch_px(self, points: Points) -> Points:
        """(N, 2) source (column, row) to (N, 2) patch (column, row), both in pixels."""
        return (points - self._centre) / self._scale + self.spec.middle_px


@dataclass(frozen=True, slots=True, eq=False)
class Patch:
    """`hu`: float32 (size, size) in Hounsfield units; `outside`: the fraction of it beyond the source's edge."""

    hu: FloatImage
    transform: PatchTransform
    outside: float


def extract_patch(ct_slice: CTSlice, centre_px: PointPx, spec: PatchSpec) -> Patch:
    """Cut a patch centred on a (column, row) point of `ct_slice` (see `resample`)."""
    hu, outside = resample(ct_slice.hu, ct_slice.spacing_mm, centre_px, spec)
    return Patch(hu, PatchTransform(spec, centre_px, ct_slice.spacing_mm), outside)


def resample(
    image: NDArray[np.float32], spacing_mm: tuple[float, float], centre_px: PointPx, spec: PatchSpec
) -> tuple[FloatImage, float]:
    """Resample a square around a (column, row) point of a float32 (rows, columns) image (see `AxisSamples`).

    Returns float32 (size, size) and the fraction of the patch beyond the edge.
    """
    column, row = centre_px
    down = AxisSamples.around(row, spacing_mm[0], image.shape[0], spec)
    across = AxisSamples.around(column, spacing_mm[1], image.shape[1], spec)
    return down.by(across, image), 1 - (1 - down.outside) * (1 - across.outside)


@dataclass(frozen=True, slots=True, eq=False)
class AxisSamples:
    """Where a patch's pixels lie along one axis of what it is cut from: float32 `weights` (size, n) of the n source
    pixels from number `first`, which may lie beyond an edge, and the fraction of the patch `outside`.

    A triangle filter: linear interpolation where the patch is as fine as the source or finer, widened to the patch's
    pixel where it is coarser, so that nothing aliases. Beyond the edge the outermost pixel is repeated.
    """

    first: int
    weights: NDArray[np.float32]
    outside: float

    @classmethod
    def around(cls, centre: float, source_mm: float, length: int, spec: PatchSpec) -> AxisSamples:
        """Samples around a place, in pixels, on an axis of `length` pixels of `source_mm`."""
        scale = spec.spacing_mm / source_mm
        samples = centre + (np.arange(spec.size_px) - spec.middle_px) * scale
        reach = max(1.0, scale)
        first, last = math.floor(samples[0] - reach), math.ceil(samples[-1] + reach)
        weights = np.abs(np.arange(first, last + 1) - samples[:, None])
        weights /= -reach
        weights += 1
        np.maximum(weights, 0, out=weights)
        weights /= weights.sum(axis=1, keepdims=True)
        outside = np.count_nonzero((samples < -0.5) | (samples > length - 0.5)) / spec.size_px
        return cls(first, weights.astype(np.float32), outside)

    def by(self, across: AxisSamples, image: FloatImage | NDArray[np.int16]) -> FloatImage:
        """The patch, float32 (size, size), of these rows of `image` by these columns."""
        rows, columns = self.weights.shape[1], across.weights.shape[1]
        crop = _crop(image, self.first, rows, across.first, columns)
        return np.ascontiguousarray(self.weights @ crop @ across.weights.T)


def _crop(image: FloatImage | NDArray[np.int16], top: int, rows: int, left: int, columns: int) -> FloatImage:
    """A float32 copy of a rectangle of `image`, the outermost pixels repeated beyond its edge."""
    height, width = image.shape
    if 0 <= top <= height - rows and 0 <= left <= width - columns:
        return image[top : top + rows, left : left + columns].astype(np.float32)
    down = np.clip(np.arange(top, top + rows), 0, height - 1)
    along = np.clip(np.arange(left, left + columns), 0, width - 1)
    return image[down[:, None], along].astype(np.float32)
