"""Where in the lungs of a series a nodule may be: the blob filter of `candidates` in three dimensions.

Sizes are in millimetres along every axis, whatever the distance between slices: in plane the filter runs on reduced
slices, along the normal it is the exact Gaussian of a signal that is linear between the slices.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from app.imaging.candidates import (
    MARGIN_MM,
    OUTSIDE_HU,
    WALL_MM,
    Blobs,
    search_field,
    shrink_factor,
    without_walls,
    zoom_of,
)
from app.imaging.ct import FloatImage, PointPx
from app.imaging.lung_closing import ByteMask
from app.imaging.lungs import WORK_SPACING_MM, Mask, shrink
from app.imaging.memory import mapped_zeros
from app.imaging.volume import CTVolume
from app.imaging.volume_lungs import Progress, VolumeLungs

# Diameter in mm, and the weakest answer in HU that counts: branching vessels answer as small nodules do, and a solid
# nodule of 4 mm answers with more even across slices of 2.5 mm. Large ground glass answers with little.
SIZES: Final = (
    *((5.0, 180.0), (7.0, 110.0), (10.0, 70.0), (14.0, 45.0)),
    *((20.0, 45.0), (28.0, 45.0), (40.0, 45.0), (56.0, 45.0)),
)
# Slices are reduced anew for each turn, so that less of them is held at a time; these share it out the most evenly.
TURNS: Final = ((SIZES[0], SIZES[3]), SIZES[1:3], SIZES[4:])
TOLD_EVERY: Final = 8  # planes: the next time is where a caller may stop
REACH_SIGMA: Final = 3.0  # 0.3 % of a Gaussian lie beyond
MAX_PER_SLICE: Final = 24  # the strongest of the scan are kept; 22 through the middle of the lungs, half over a scan
NEIGHBOURS: Final = np.ones((3, 3), np.uint8)
HEIGHTS_OF_MAXIMUM: Final = 3  # its own, one below and one above

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

    @property
    def zoom(self) -> float:
        """See `zoom_of`."""
        return zoom_of(self.diameter_mm)


def find_volume_candidates(
    volume: CTVolume, lungs: VolumeLungs, *, progress: Progress | None = None
) -> tuple[VolumeCandidate, ...]:
    """Candidates in and at most MARGIN_MM beside `lungs` (of the same volume), strongest first.

    At most MAX_PER_SLICE times the number of slices. Memory beyond the volume grows by a bit for a pixel of the lungs'
    masks. `progress` is called with the slices done; what it raises ends the search.
    """
    if not lungs.any():
        return ()
    field = _Field(volume, lungs)
    # One for all turns: what each frees by itself would not be what the next can use.
    most = max(sum(_Scale(field, *size).values for size in sizes) for sizes in TURNS)
    memory = mapped_zeros((most,), np.float32)
    found: list[Blobs] = []
    for turn, sizes in enumerate(TURNS):
        for done, blobs in enumerate(_search(field, sizes, memory), start=1):
            found += blobs
            if progress is not None and (done % TOLD_EVERY == 0 or done == field.planes):
                progress(round(len(volume) * (turn + done / field.planes) / len(TURNS)))
    inside = field.lying_inside(Blobs.joined(found))
    return tuple(
        _candidate(inside.points_mm[k], float(inside.diameters_mm[k]), float(inside.responses_hu[k]), volume, field)
        for k in inside.strongest_apart(MAX_PER_SLICE * len(volume))
    )


class _Field:
    """The lungs of a volume as the filter sees them: planes of float32 `shape` in HU above OUTSIDE_HU, thin slices
    averaged. With another zero, what a Gaussian leaves out beyond its reach would look like a curvature.

    A point in it is (z, y, x) in mm from the middle of plane 0 and the upper left corner of `window`.
    """

    def __init__(self, volume: CTVolume, lungs: VolumeLungs) -> None:
        slice_mm, row_mm, column_mm = volume.spacing_mm
        rows, columns = lungs.work_shape
        self.grouped = max(1, int(WORK_SPACING_MM / slice_mm))
        self.planes = math.ceil(len(volume) / self.grouped)
        self.plane_mm = slice_mm * self.grouped
        self.pixel_mm = (row_mm * volume.hu.shape[1] / rows, column_mm * volume.hu.shape[2] / columns)
        self._volume, self._lungs = volume, lungs
        self._inner: dict[int, NDArray[np.uint8]] = {}  # by slice, eight pixels a byte: a third of a search to find
        self.window = _window(lungs)
        self.shape = tuple(axis.stop - axis.start for axis in self.window)

    def plane(self, number: int, *, walls: bool) -> FloatImage:
        """The mean of its slices, with or without what sits on the walls of the lungs: see `closed_tightly`."""
        images = [shrink(self._volume.hu[k], self._volume.spacing_mm[1:])[self.window] for k in self._slices(number)]
        masks = [self._lungs.work_mask(k)[self.window] for k in self._slices(number)]
        if not walls:
            masks = [self._without_walls(*each) for each in zip(self._slices(number), images, masks, strict=True)]
        fields = [search_field(image, mask) for image, mask in zip(images, masks, strict=True)]
        return np.asarray(np.mean(fields, axis=0) - OUTSIDE_HU, np.float32)

    def _without_walls(self, index: int, image: FloatImage, mask: Mask) -> Mask:
        if index not in self._inner:
            self._inner[index] = np.packbits(without_walls(image, mask, WORK_SPACING_MM))
        return np.unpackbits(self._inner[index], count=mask.size).view(np.bool_).reshape(mask.shape)

    def lying_inside(self, blobs: Blobs) -> Blobs:
        """Those in the lungs and at most MARGIN_MM beside them."""
        z_mm, y_mm, x_mm = blobs.points_mm.T
        planes = np.clip(np.rint(z_mm / self.plane_mm), 0, self.planes - 1).astype(np.intp)
        rows, columns = (y_mm / self.pixel_mm[0]).astype(np.intp), (x_mm / self.pixel_mm[1]).astype(np.intp)
        inside = np.zeros(len(planes), np.bool_)
        for number in np.unique(planes).tolist():
            here = planes == number
            inside[here] = self._inside(number)[rows[here], columns[here]] > 0
        return Blobs(blobs.points_mm[inside], blobs.diameters_mm[inside], blobs.responses_hu[inside])

    def _slices(self, number: int) -> range:
        return range(number * self.grouped, min((number + 1) * self.grouped, len(self._volume)))

    def _inside(self, number: int) -> ByteMask:
        lungs = np.logical_or.reduce([self._lungs.work_mask(k)[self.window] for k in self._slices(number)])
        reach = 2 * math.ceil(MARGIN_MM / WORK_SPACING_MM) + 1
        return np.asarray(cv2.dilate(lungs.view(np.uint8), np.ones((reach, reach), np.uint8)), np.uint8)


def _window(lungs: VolumeLungs) -> tuple[slice, slice]:
    everywhere = np.zeros(lungs.work_shape, np.bool_)
    for k in range(len(lungs)):
        everywhere |= lungs.work_mask(k)
    margin = math.ceil(MARGIN_MM / WORK_SPACING_MM)
    rows, columns = np.flatnonzero(everywhere.any(axis=1)), np.flatnonzero(everywhere.any(axis=0))
    top, left = max(0, int(rows[0]) - margin), max(0, int(columns[0]) - margin)
    bottom, right = (min(int(n[-1]) + 1 + margin, m) for n, m in zip((rows, columns), lungs.work_shape, strict=True))
    return slice(top, bottom), slice(left, right)


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


def _search(field: _Field, sizes: Sequence[tuple[float, float]], memory: NDArray[np.float32]) -> Iterator[list[Blobs]]:
    """What is found with each plane, from below."""
    scales = [_Scale(field, *size) for size in sizes]
    for scale in scales:
        scale.hold_in(memory[: scale.values])
        memory = memory[scale.values :]
    for number in range(field.planes):
        plane = _Reduced(field.plane(number, walls=max(sizes)[0] >= WALL_MM))
        yield [blobs for scale in scales for blobs in scale.search(number, plane)]


class _Reduced:
    """A plane on pixels as coarse as each scale wants them, made once for all that want the same."""

    def __init__(self, plane: FloatImage) -> None:
        self._of_shape = {plane.shape: plane}

    def to(self, shape: tuple[int, ...]) -> FloatImage:
        """Means on `shape` pixels."""
        if shape not in self._of_shape:
            plane = next(iter(self._of_shape.values()))
            self._of_shape[shape] = np.asarray(cv2.resize(plane, shape[::-1], interpolation=cv2.INTER_AREA), np.float32)
        return self._of_shape[shape]


class _Scale:
    """The filter for one size on its way through a field, plane by plane from below.

    It holds the planes that its Gaussian still reaches, smoothed, as so many float32 `values` in memory that it is
    given; beyond the field's ends the outermost is repeated.
    """

    def __init__(self, field: _Field, diameter_mm: float, minimum: float) -> None:
        self._diameter_mm, self._minimum = diameter_mm, minimum
        self._sigma_mm = diameter_mm / (2 * math.sqrt(3))
        self._plane_mm, self._planes = field.plane_mm, field.planes
        factor = shrink_factor(self._sigma_mm, WORK_SPACING_MM)
        self._step_mm = WORK_SPACING_MM * factor
        self._shape = tuple(max(3, round(n / factor)) for n in field.shape)
        self._pixel_mm = [n * mm / m for n, mm, m in zip(field.shape, field.pixel_mm, self._shape, strict=True)]
        self._sigmas_px = tuple(self._sigma_mm / mm for mm in self._pixel_mm)
        self._reach_mm = REACH_SIGMA * self._sigma_mm + self._plane_mm
        # Heights in steps, with one more below and above the field for the maxima.
        self._next = math.ceil(-0.5 * self._plane_mm / self._step_mm) - 1
        self._last = math.ceil((self._planes - 0.5) * self._plane_mm / self._step_mm)
        held = math.floor(2 * self._reach_mm / self._plane_mm) + 2
        self._held_shape = (min(held, self._planes), self._shape[0] + 2, self._shape[1] + 2)
        self.values = math.prod(self._held_shape)
        self._smooth: Stack = np.zeros((0, 0, 0), np.float32)
        self._latest: deque[tuple[FloatImage, FloatImage]] = deque()  # responses, and the highest around each

    def hold_in(self, memory: NDArray[np.float32]) -> None:
        """Take this memory, of finite numbers: planes that have not come count with a weight of 0."""
        self._smooth = memory.reshape(self._held_shape)

    def search(self, number: int, plane: _Reduced) -> Iterator[Blobs]:
        """Take the next plane; yields what is found at the heights for which nothing is missing any more."""
        self._smooth[number % len(self._smooth)] = self._smoothed(plane)
        ready = self._last
        if number + 1 < self._planes:
            ready = math.floor((number * self._plane_mm - self._reach_mm) / self._step_mm)
        # One height at a time: more are no faster, and take memory.
        for height in range(self._next, ready + 1):
            response = self._response(height)
            self._latest.append((response, np.asarray(cv2.dilate(response, NEIGHBOURS), np.float32)))
            if len(self._latest) == HEIGHTS_OF_MAXIMUM:
                yield self._maxima(height - 1)
                self._latest.popleft()
        self._next = max(self._next, ready + 1)

    def _smoothed(self, plane: _Reduced) -> FloatImage:
        """With a border of one pixel."""
        image, (sigma_y, sigma_x) = plane.to(self._shape), self._sigmas_px
        # Outside the field is 0, as outside the lungs: what is at its edge does not go on.
        smooth = cv2.GaussianBlur(image, (0, 0), sigma_x, sigmaY=sigma_y, borderType=cv2.BORDER_CONSTANT)
        return np.asarray(cv2.copyMakeBorder(smooth, 1, 1, 1, 1, cv2.BORDER_REPLICATE), np.float32)

    def _response(self, height: int) -> FloatImage:
        derivatives = np.tensordot(self._weights(height * self._step_mm), self._smooth, axes=1)
        return _response(derivatives, self._sigmas_px, self._minimum)

    def _maxima(self, height: int) -> Blobs:
        """Local maxima at the middle one of the latest heights, which is `height`."""
        response, _ = self._latest[1]
        flat = response.ravel()
        found = np.flatnonzero(flat >= self._minimum)
        for _, highest in self._latest:
            found = found[flat[found] >= highest.ravel()[found]]
        y, x = np.divmod(found, response.shape[1])
        z_mm = np.full(len(y), height * self._step_mm)
        points_mm = np.stack([z_mm, (y + 0.5) * self._pixel_mm[0], (x + 0.5) * self._pixel_mm[1]], axis=1)
        return Blobs(points_mm, np.full(len(y), self._diameter_mm), response[y, x].astype(np.float64))

    def _weights(self, height_mm: float) -> Stack:
        """How much each plane held counts at a height, (3, planes): see `_weights`."""
        first = math.ceil((height_mm - self._reach_mm) / self._plane_mm)
        last = math.floor((height_mm + self._reach_mm) / self._plane_mm)
        numbers = np.arange(first, last + 1)
        places = np.clip(numbers, 0, self._planes - 1) % len(self._smooth)
        across_mm = np.asarray(height_mm - numbers * self._plane_mm, np.float64)
        weights = _weights(across_mm, self._sigma_mm, self._plane_mm)
        return np.asarray(weights @ (places[:, None] == np.arange(len(self._smooth))), np.float32)


def _weights(across_mm: NDArray[np.float64], sigma_mm: float, plane_mm: float) -> Stack:
    """How much each plane counts for the Gaussian, and for its first and second derivative in units of sigma: (3, ...).

    Between planes the signal is linear: a plane's weight is the Gaussian times its hat function, integrated, which is
    the second difference of the Gaussian's second antiderivative.
    """
    t, h = across_mm / sigma_mm, plane_mm / sigma_mm
    u = np.stack([t + h, t, t - h])
    density, below = np.exp(-(u**2) / 2) / math.sqrt(2 * math.pi), ndtr(u)
    # The Gaussian's second antiderivative, its first, and itself.
    above, middle, beneath = np.stack([u * below + density, below, density], axis=1)
    return np.asarray((above - 2 * middle + beneath) / h, np.float32)


def _response(derivatives: Stack, sigmas_px: tuple[float, ...], minimum: float) -> FloatImage:
    """Three times the harmonic mean of the principal curvatures, scale-normalised; 0 where it is below `minimum`.

    A bright ball of the filter's size answers with about its contrast. `derivatives` are the smoothed field at one
    height and its first and second derivative along the normal in units of sigma, with a border of one pixel.
    """
    value, first, second = derivatives
    sigma_y, sigma_x = map(np.float32, sigmas_px)
    rows, columns = value.shape[0] - 2, value.shape[1] - 2
    # No mean exceeds the arithmetic one: elsewhere the rest need not be computed.
    kernel = np.array([[0, sigma_y**2, 0], [sigma_x**2, 0, sigma_x**2], [0, sigma_y**2, 0]], np.float32)
    kernel[1, 1] = -kernel.sum()
    dense = cv2.filter2D(value, cv2.CV_32F, kernel)[1:-1, 1:-1] + second[1:-1, 1:-1]
    inner = np.flatnonzero(dense <= -minimum)
    row, column = value.shape[1], 1
    at = (inner // columns + 1) * row + inner % columns + column
    flat, slope = value.ravel(), first.ravel()
    twice = 2 * flat[at]
    xx = (flat[at + column] + flat[at - column] - twice) * sigma_x**2
    yy = (flat[at + row] + flat[at - row] - twice) * sigma_y**2
    zz = second.ravel()[at]
    corners = flat[at + row + column] + flat[at - row - column] - flat[at + row - column] - flat[at - row + column]
    xy = corners * (sigma_x * sigma_y / 4)
    xz = (slope[at + column] - slope[at - column]) * (sigma_x / 2)
    yz = (slope[at + row] - slope[at - row]) * (sigma_y / 2)
    minor_x, minor_y, minor_z = yy * zz - yz**2, xx * zz - xz**2, xx * yy - xy**2
    determinant = xx * minor_x - xy * (xy * zz - yz * xz) + xz * (xy * yz - yy * xz)
    minors = minor_x + minor_y + minor_z
    bright = (minors > 0) & (determinant < 0)
    response = np.zeros(rows * columns, np.float32)
    response[inner[bright]] = -9 * determinant[bright] / minors[bright]
    return response.reshape(rows, columns)
