"""Generated chests as slices and as volumes with balls in them, and the development data's series as volumes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.imaging.ct import CTSlice, Orientation, SliceSource
from app.imaging.read import read_slice
from app.imaging.volume import CTVolume
from phantoms.slices import BODY_HU, chest

AXIAL = Orientation((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
PIXEL_MM = 1.4


@dataclass(frozen=True, slots=True)
class Ball:
    """A ball at a (column, row) pixel and a height in mm above the first slice."""

    centre_px: tuple[float, float]
    height_mm: float
    diameter_mm: float
    hu: float = 30.0


def slice_of(hu: NDArray[np.int16], spacing_mm: tuple[float, float] = (PIXEL_MM, PIXEL_MM)) -> CTSlice:
    rows, columns = hu.shape
    return CTSlice(hu.astype(np.float32), spacing_mm, SliceSource("array", rows, columns))


def volume_of(hu: NDArray[np.int16], spacing_mm: tuple[float, float, float]) -> CTVolume:
    slices, rows, columns = hu.shape
    positions = tuple((0.0, 0.0, k * spacing_mm[0]) for k in range(slices))
    return CTVolume(hu, spacing_mm, AXIAL, positions, (SliceSource("array", rows, columns),) * slices)


@cache
def _levels() -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    """The chest without nodule, and the same body without lungs."""
    lungs = chest([])
    y_mm, x_mm = (np.mgrid[:256, :256] - 127.5) * PIXEL_MM
    inside = np.hypot(x_mm / 150, y_mm / 100) < 1
    return lungs, np.where(inside & (lungs < 0), BODY_HU, lungs).astype(np.int16)


def chest_volume(
    balls: Sequence[Ball] = (), *, slices: int = 60, slice_mm: float = 2.5, covered: tuple[int, int] = (4, 4)
) -> CTVolume:
    """The chest of `phantoms`, the same on every slice but the `covered` first and last, which show no lung.

    Slices are averaged over their own thickness, as a scanner does.
    """
    lungs, body = _levels()
    hu = np.repeat(lungs[None].astype(np.float32), slices, axis=0)
    hu[: covered[0]], hu[slices - covered[1] :] = body, body
    rows, columns = np.mgrid[: lungs.shape[0], : lungs.shape[1]]
    for ball in balls:
        across_mm = np.hypot(columns - ball.centre_px[0], rows - ball.centre_px[1]) * PIXEL_MM
        half_mm = np.sqrt(np.maximum((ball.diameter_mm / 2) ** 2 - across_mm**2, 0))
        for k in range(slices):
            low, high = ((k - 0.5) * slice_mm, (k + 0.5) * slice_mm)
            inside_mm = np.minimum(ball.height_mm + half_mm, high) - np.maximum(ball.height_mm - half_mm, low)
            hu[k] += (ball.hu - hu[k]) * np.clip(inside_mm / slice_mm, 0, 1)
    return volume_of(np.rint(hu).astype(np.int16), (slice_mm, PIXEL_MM, PIXEL_MM))


@cache
def series_volume(folder: Path) -> CTVolume:
    """One series of the development data; kept, for several tests read it."""
    placed = [(s.position_mm or (0.0, 0.0, 0.0), s) for s in (read_slice(p.read_bytes()) for p in folder.glob("*.dcm"))]
    placed.sort(key=lambda entry: entry[0][2])
    heights = [position[2] for position, _ in placed]
    first = placed[0][1]
    return CTVolume(
        np.stack([s.hu for _, s in placed]).astype(np.int16),
        (float(np.median(np.diff(heights))), *first.spacing_mm),
        AXIAL,
        tuple(position for position, _ in placed),
        tuple(s.source for _, s in placed),
    )
