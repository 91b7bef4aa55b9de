"""The pixels of a series: slices as int16 in one array, as many as the limits allow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.imaging.ct import FloatImage
from app.imaging.memory import mapped_zeros
from app.imaging.volume import ShortVolume

INT16: Final = np.iinfo(np.int16)
MOVED: Final = -1
BAND_ROWS: Final = 32  # 64 kB of 512 pixels as float32


@dataclass(frozen=True, slots=True)
class SeriesLimits:
    """Most slices, bytes of pixels as int16 (a 512 x 512 slice has 0.5 MB), and files of any kind."""

    max_slices: int = 2000
    max_pixel_bytes: int = 1 << 30
    max_files: int = 5000


class PixelStack:
    """Slices as int16 in one array: there is never a second copy of the pixels.

    The array is as long as the limits allow from the start: the operating system gives memory only for what is written,
    so that nothing has to grow.
    """

    def __init__(self, limits: SeriesLimits) -> None:
        self._limits = limits
        self._hu: ShortVolume = np.empty((0, 0, 0), np.int16)
        self._count = 0

    def append(self, hu: FloatImage) -> None:
        """The next slice, (rows, columns) in HU."""
        if not self._count:
            most = self._limits.max_pixel_bytes // (hu.size * INT16.dtype.itemsize)
            self._hu = mapped_zeros((min(most, self._limits.max_slices), *hu.shape), np.int16)
        for rows in _bands(hu):
            self._hu[self._count, rows] = rounded_hu(hu[rows])
        self._count += 1

    def holds(self, index: int, hu: FloatImage) -> bool:
        """Whether the slice of that index, in the order of arrival, has these pixels."""
        return all(np.array_equal(self._hu[index, rows], rounded_hu(hu[rows])) for rows in _bands(hu))

    def ordered(self, order: NDArray[np.intp]) -> ShortVolume:
        """The array itself, its slices moved so that slice n is the former `order[n]`."""
        hu, sources = self._hu[: self._count], order.tolist()
        for start, source in enumerate(sources):
            if source in (start, MOVED):
                continue
            # Along the cycle through `start`, with its first slice held aside.
            held, to = hu[start].copy(), start
            while source != start:
                hu[to] = hu[source]
                sources[to], to = MOVED, source
                source = sources[to]
            hu[to], sources[to] = held, MOVED
        return hu


def _bands(hu: FloatImage) -> Iterator[slice]:
    """Rows of a slice, few at a time: what is made of them takes little memory, and stays in the cache."""
    return (slice(row, row + BAND_ROWS) for row in range(0, len(hu), BAND_ROWS))


def rounded_hu(hu: FloatImage) -> NDArray[np.int16]:
    """HU as int16, rounded to even, what is outside its range clipped."""
    clipped = np.clip(hu, INT16.min, INT16.max)
    return np.rint(clipped, out=clipped).astype(np.int16)
