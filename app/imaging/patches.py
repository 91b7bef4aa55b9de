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
    """Resample a square around a (column, row) point of a float32 (rows, columns) image.

    Separable triangle filter: linear interpolation where the patch is as fine as the source or finer,
    widened to the patch's pixel where it is coarser, so that nothing aliases. Beyond the edge the outermost
    pixel is repeated. Returns float32 (size, size) and the fraction of the patch beyond the edge.
    """
    column, row = centre_px
    first_row, by_row, outside_rows = _axis_weights(row, spacing_mm[0], image.shape[0], spec)
    first_column, by_column, outside_columns = _axis_weights(column, spacing_mm[1], image.shape[1], spec)
    crop = _crop(image, first_row, by_row.shape[1], first_column, by_column.shape[1])
    inside = (1 - outside_rows) * (1 - outside_columns)
    return np.ascontiguousarray(by_row @ crop @ by_column.T), 1 - inside


def _crop(image: FloatImage, top: int, rows: int, left: int, columns: int) -> FloatImage:
    """A copy of a rectangle of `image`, the outermost pixels repeated beyond its edge."""
    height, width = image.shape
    if 0 <= top <= height - rows and 0 <= left <= width - columns:
        return image[top : top + rows, left : left + columns].copy()
    down = np.clip(np.arange(top, top + rows), 0, height - 1)
    along = np.clip(np.arange(left, left + columns), 0, width - 1)
    return image[down[:, None], along]


def _axis_weights(
    centre: float, source_mm: float, length: int, spec: PatchSpec
) -> tuple[int, NDArray[np.float32], float]:
    """First source index along one axis, float32 (size, indices) weights, and the fraction of samples outside."""
    scale = spec.spacing_mm / source_mm
    samples = centre + (np.arange(spec.size_px) - spec.middle_px) * scale
    reach = max(1.0, scale)
    first, last = math.floor(samples[0] - reach), math.ceil(samples[-1] + reach)
    weights = np.maximum(0.0, 1 - np.abs(np.arange(first, last + 1) - samples[:, None]) / reach)
    weights /= weights.sum(axis=1, keepdims=True)
    outside = np.count_nonzero((samples < -0.5) | (samples > length - 0.5)) / spec.size_px
    return first, weights.astype(np.float32), outside
