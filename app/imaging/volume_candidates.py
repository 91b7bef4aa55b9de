"""Where in the lungs of a series a nodule may be: the blob filter of `candidates` in three dimensions.

Sizes are in millimetres along every axis, whatever the distance between slices: in plane the filter runs on reduced
slices, along the normal it is the exact Gaussian of a signal that is linear between the slices.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from app.imaging.candidates import MARGIN_MM, Blobs, search_field, shrink_factor
from app.imaging.ct import FloatImage, PointPx
from app.imaging.lungs import WORK_SPACING_MM, ByteMask, shrink
from app.imaging.volume import CTVolume
from app.imaging.volume_lungs import Progress, VolumeLungs

# Diameter in mm, and the weakest answer in HU that counts: branching vessels answer as small nodules do, and a solid
# nodule of 4 mm answers with more even across slices of 2.5 mm. Large ground glass answers with little.
SIZES: Final = ((5.0, 180.0), (7.0, 110.0), (10.0, 70.0), (14.0, 45.0), (20.0, 45.0), (28.0, 45.0), (40.0, 45.0))
SLAB_PLANES: Final = 24  # searched at once; the rest of a slab is what its filters reach beyond
REACH_SIGMA: Final = 3.0  # 0.3 % of a Gaussian lie beyond
MAX_PER_SLICE: Final = 12  # the strongest of the scan are kept
NEIGHBOURS: Final = np.ones((3, 3), np.uint8)

Stack = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class VolumeCandidate:
    """A blob: its 0-based, fractional place among the slices, centre (column, row) in pixels, diameter, response."""

    slice_position: float
    centre_px: PointPx
    diameter_mm: float
    response_hu: float

    @property
    def slice_index(self) -> int:
        """The slice nearest to its middle."""
        return round(self.slice_position)


def find_volume_candidates(
    volume: CTVolume, lungs: VolumeLungs, *, progress: Progress | None = None
) -> tuple[VolumeCandidate, ...]:
    """Candidates in and at most MARGIN_MM beside `lungs` (of the same volume), strongest first.

    At most MAX_PER_SLICE times the number of slices. Memory beyond the volume does not grow with it. `progress` is
    called with the slices done; what it raises ends the search.
    """
    if not lungs.any():
        return ()
    field = _Field(volume, lungs)
    found: list[Blobs] = []
    for first in range(0, field.planes, SLAB_PLANES):
        slab = field.slab(first)
        found += [_blobs(slab, field, *size) for size in SIZES]
        if progress is not None:
            progress(min(len(volume), (first + SLAB_PLANES) * field.grouped))
    blobs = Blobs.joined(found)
    return tuple(
        _candidate(blobs.points_mm[k], float(blobs.diameters_mm[k]), float(blobs.responses_hu[k]), volume, field)
        for k in blobs.strongest_apart(MAX_PER_SLICE * len(volume))
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Slab:
    """Planes of the search field, int16 (planes, rows, columns), of which those from `low` to `high` are searched.

    `numbers` counts them through the volume; beyond its ends the outermost plane is repeated.
    """

    hu: NDArray[np.int16]
    inside: ByteMask
    numbers: NDArray[np.intp]
    low: int
    high: int


class _Field:
    """The lungs of a volume as the filter sees them, cropped, reduced, thin slices averaged; read from below once."""

    def __init__(self, volume: CTVolume, lungs: VolumeLungs) -> None:
        slice_mm, row_mm, column_mm = volume.spacing_mm
        rows, columns = lungs.work_shape
        self.grouped = max(1, int(WORK_SPACING_MM / slice_mm))
        self.planes = math.ceil(len(volume) / self.grouped)
        self.plane_mm = slice_mm * self.grouped
        self.pixel_mm = (row_mm * volume.hu.shape[1] / rows, column_mm * volume.hu.shape[2] / columns)
        self._volume, self._lungs = volume, lungs
        self.window = _window(lungs)
        self._read: dict[int, tuple[NDArray[np.int16], ByteMask]] = {}
        sigma_mm = SIZES[-1][0] / (2 * math.sqrt(3))
        self._reach = math.ceil(REACH_SIGMA * sigma_mm / self.plane_mm) + 1

    def slab(self, first: int) -> _Slab:
        """SLAB_PLANES planes from number `first` with what the largest filter reaches beyond them."""
        last = min(first + SLAB_PLANES, self.planes) - 1
        numbers = np.arange(first - self._reach, last + self._reach + 1)
        wanted = np.clip(numbers, 0, self.planes - 1)
        self._read = {n: p for n, p in self._read.items() if n >= wanted[0]}
        for number in range(int(wanted[0]), int(wanted[-1]) + 1):
            if number not in self._read:
                self._read[number] = self._plane(number)
        hu, inside = zip(*(self._read[n] for n in wanted.tolist()), strict=True)
        return _Slab(np.stack(hu), np.stack(inside), numbers, first, last + 1)

    def _plane(self, number: int) -> tuple[NDArray[np.int16], ByteMask]:
        slices = range(number * self.grouped, min((number + 1) * self.grouped, len(self._volume)))
        masks = [self._lungs.work_mask(k) for k in slices]
        images = [shrink(self._volume.hu[k], self._volume.spacing_mm[1:]) for k in slices]
        field = np.mean([search_field(i, m)[self.window] for i, m in zip(images, masks, strict=True)], axis=0)
        reach = 2 * math.ceil(MARGIN_MM / WORK_SPACING_MM) + 1
        inside = cv2.dilate(np.logical_or.reduce(masks)[self.window].view(np.uint8), np.ones((reach, reach), np.uint8))
        return np.rint(field).astype(np.int16), np.asarray(inside, np.uint8)


def _window(lungs: VolumeLungs) -> tuple[slice, slice]:
    everywhere = np.zeros(lungs.work_shape, np.bool_)
    for k in range(len(lungs)):
        everywhere |= lungs.work_mask(k)
    margin = math.ceil(MARGIN_MM / WORK_SPACING_MM)
    rows, columns = np.flatnonzero(everywhere.any(axis=1)), np.flatnonzero(everywhere.any(axis=0))
    top, left = max(0, int(rows[0]) - margin), max(0, int(columns[0]) - margin)
    return slice(top, int(rows[-1]) + 1 + margin), slice(left, int(columns[-1]) + 1 + margin)


def _candidate(
    point_mm: NDArray[np.float64], diameter_mm: float, response_hu: float, volume: CTVolume, field: _Field
) -> VolumeCandidate:
    slice_mm, row_mm, column_mm = volume.spacing_mm
    z_mm, y_mm, x_mm = point_mm.tolist()
    top, left = (axis.start * mm for axis, mm in zip(field.window, field.pixel_mm, strict=True))
    # Plane 0 lies in the middle of its slices; the centre of pixel 0 is 0 at every size: hence the halves.
    position = min(max(0.0, z_mm / slice_mm + (field.grouped - 1) / 2), len(volume) - 1.0)
    return VolumeCandidate(
        position, ((x_mm + left) / column_mm - 0.5, (y_mm + top) / row_mm - 0.5), diameter_mm, response_hu
    )


def _blobs(slab: _Slab, field: _Field, diameter_mm: float, minimum: float) -> Blobs:
    """Maxima for one size; points are (z, y, x) in mm from plane 0 and the window's upper left corner."""
    sigma_mm = diameter_mm / (2 * math.sqrt(3))
    factor = shrink_factor(sigma_mm, WORK_SPACING_MM)
    rows, columns = (max(3, round(n / factor)) for n in slab.hu.shape[1:])
    y_mm, x_mm = (n * mm / m for n, mm, m in zip(slab.hu.shape[1:], field.pixel_mm, (rows, columns), strict=True))
    step_mm = WORK_SPACING_MM * factor
    heights_mm = _heights_mm(slab, field, step_mm)
    used = np.abs(slab.numbers * field.plane_mm - heights_mm.mean()) <= (
        np.ptp(heights_mm) / 2 + REACH_SIGMA * sigma_mm + field.plane_mm
    )
    smooth = np.stack(list(_smoothed(slab.hu[used], (rows, columns), (sigma_mm / y_mm, sigma_mm / x_mm))))
    across_mm = heights_mm[:, None] - slab.numbers[used] * field.plane_mm
    weights = _weights(across_mm, sigma_mm, field.plane_mm)
    response = _response(smooth, weights, (sigma_mm / y_mm, sigma_mm / x_mm), minimum)
    z, y, x = _maxima(response, minimum)
    z_mm, points_y_mm, points_x_mm = heights_mm[z], (y + 0.5) * y_mm, (x + 0.5) * x_mm
    plane = np.clip(np.rint(z_mm / field.plane_mm).astype(np.intp) - slab.numbers[0], 0, len(slab.numbers) - 1)
    row, column = (points_y_mm / field.pixel_mm[0]).astype(np.intp), (points_x_mm / field.pixel_mm[1]).astype(np.intp)
    inside = slab.inside[plane, row, column] > 0
    points_mm = np.stack([z_mm, points_y_mm, points_x_mm], axis=1)[inside]
    return Blobs(points_mm, np.full(len(points_mm), diameter_mm), response[z, y, x][inside].astype(np.float64))


def _heights_mm(slab: _Slab, field: _Field, step_mm: float) -> NDArray[np.float64]:
    """Heights of one slab on a grid common to all, with one more below and above for the maxima."""
    first = math.ceil((slab.low - 0.5) * field.plane_mm / step_mm)
    after = math.ceil((slab.high - 0.5) * field.plane_mm / step_mm)
    return np.arange(first - 1, after + 1, dtype=np.float64) * step_mm


def _smoothed(
    planes: NDArray[np.int16], shape: tuple[int, int], sigmas_px: tuple[float, float]
) -> Iterator[FloatImage]:
    for plane in planes:
        image = cv2.resize(plane.astype(np.float32), shape[::-1], interpolation=cv2.INTER_AREA)
        smooth = cv2.GaussianBlur(image, (0, 0), sigmas_px[1], sigmaY=sigmas_px[0], borderType=cv2.BORDER_REPLICATE)
        yield np.asarray(cv2.copyMakeBorder(smooth, 1, 1, 1, 1, cv2.BORDER_REPLICATE), np.float32)


def _weights(across_mm: NDArray[np.float64], sigma_mm: float, plane_mm: float) -> tuple[Stack, Stack, Stack]:
    """How much each plane counts for the Gaussian, and for its first and second derivative in units of sigma.

    Between planes the signal is linear: a plane's weight is the Gaussian times its hat function, integrated, which is
    the second difference of the Gaussian's second antiderivative.
    """
    t, h = across_mm / sigma_mm, plane_mm / sigma_mm

    def density(u: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.exp(-(u**2) / 2) / math.sqrt(2 * math.pi), np.float64)

    def second_antiderivative(u: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(u * ndtr(u) + density(u), np.float64)

    def hat(f: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Stack:
        return np.asarray((f(t + h) - 2 * f(t) + f(t - h)) / h, np.float32)

    return hat(second_antiderivative), hat(lambda u: np.asarray(ndtr(u), np.float64)), hat(density)


def _response(
    smooth: Stack, weights: tuple[Stack, Stack, Stack], sigmas_px: tuple[float, float], minimum: float
) -> Stack:
    """Three times the harmonic mean of the principal curvatures, scale-normalised; 0 where it is below `minimum`.

    A bright ball of the filter's size answers with about its contrast. `smooth` has a border of one pixel.
    """
    value, first, second = (np.tensordot(w, smooth, axes=1) for w in weights)
    sigma_y, sigma_x = map(np.float32, sigmas_px)
    centre = value[:, 1:-1, 1:-1]
    dense_xx = (value[:, 1:-1, 2:] + value[:, 1:-1, :-2] - 2 * centre) * sigma_x**2
    dense_yy = (value[:, 2:, 1:-1] + value[:, :-2, 1:-1] - 2 * centre) * sigma_y**2
    dense_zz = second[:, 1:-1, 1:-1]
    response = np.zeros(centre.shape, np.float32)
    # No mean exceeds the arithmetic one: elsewhere the rest need not be computed.
    z, y, x = np.nonzero(dense_xx + dense_yy + dense_zz <= -minimum)
    xx, yy, zz = dense_xx[z, y, x], dense_yy[z, y, x], dense_zz[z, y, x]
    below, above, left, right = y, y + 2, x, x + 2
    corners = value[z, above, right] + value[z, below, left] - value[z, above, left] - value[z, below, right]
    xy = corners * (sigma_x * sigma_y / 4)
    xz = (first[z, y + 1, right] - first[z, y + 1, left]) * (sigma_x / 2)
    yz = (first[z, above, x + 1] - first[z, below, x + 1]) * (sigma_y / 2)
    minor_x, minor_y, minor_z = yy * zz - yz**2, xx * zz - xz**2, xx * yy - xy**2
    determinant = xx * minor_x - xy * (xy * zz - yz * xz) + xz * (xy * yz - yy * xz)
    minors = minor_x + minor_y + minor_z
    bright = (minors > 0) & (determinant < 0)
    response[z[bright], y[bright], x[bright]] = -9 * determinant[bright] / minors[bright]
    return response


def _maxima(response: Stack, minimum: float) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """(plane, row, column) of local maxima of at least `minimum`, but for the outermost planes."""
    highest = np.stack([np.asarray(cv2.dilate(plane, NEIGHBOURS), np.float32) for plane in response])
    around = np.maximum(np.maximum(highest[:-2], highest[2:]), highest[1:-1])
    inner = response[1:-1]
    z, y, x = np.nonzero((inner >= around) & (inner >= minimum))
    return z + 1, y, x
