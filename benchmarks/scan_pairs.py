"""Second scans made from a first one: what a scanner, a reconstruction or the way a patient lies would change, and
balls of known volume in the lungs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from app.imaging.ct import PointMm
from app.imaging.volume import CTVolume

BALL_HU: Final = 30.0
LUNG_HU: Final = -850.0
EDGE_MM: Final = 0.8  # over which a ball's border fades, as a reconstruction kernel makes it
NOISE_HU: Final = 25.0  # standard deviation that is added: a scan at half the dose
GRAIN_PX: Final = 0.7  # of that noise, and of the kernels
SHARPER: Final = 1.0  # of what a blur takes away, added once more
ROTATION_DEG: Final = (2.0, -1.5, 4.0)
SHIFT_MM: Final = (6.0, -9.0, 5.0)
SUBSLICES: Final = 5  # over which a ball is averaged along the slice thickness

Hu = NDArray[np.float32]
Change = Callable[[CTVolume], CTVolume]


@dataclass(frozen=True, slots=True)
class PlantedBall:
    """A ball at a (slice, row, column) voxel of a scan."""

    place: tuple[int, int, int]
    diameter_mm: float

    def grown(self, factor: float) -> PlantedBall:
        """The same with so many times the volume."""
        return replace(self, diameter_mm=self.diameter_mm * float(np.cbrt(factor)))


def with_balls(volume: CTVolume, balls: Sequence[PlantedBall]) -> CTVolume:
    """The scan with balls of soft tissue in it; noise and vessels of the place stay."""
    hu = volume.hu.astype(np.float32)
    for ball in balls:
        window, share = _occupied(volume, ball)
        hu[window] += share * np.float32(BALL_HU - LUNG_HU)
    return replace(volume, hu=_whole(hu))


def noisier(volume: CTVolume, seed: int = 1) -> CTVolume:
    """More noise, of a grain that a kernel leaves."""
    noise = np.random.default_rng(seed).normal(size=volume.hu.shape).astype(np.float32)
    grainy = np.stack([_blurred(each) for each in noise])
    return replace(volume, hu=_whole(volume.hu + grainy * np.float32(NOISE_HU / float(grainy.std()))))


def softer(volume: CTVolume) -> CTVolume:
    """A softer kernel."""
    return replace(volume, hu=_whole(np.stack([_blurred(each.astype(np.float32)) for each in volume.hu])))


def sharper(volume: CTVolume) -> CTVolume:
    """A sharper kernel, with the noise that it brings."""
    hu = volume.hu.astype(np.float32)
    return replace(volume, hu=_whole(hu + SHARPER * (hu - np.stack([_blurred(each) for each in hu]))))


def thicker(volume: CTVolume) -> CTVolume:
    """Two slices in one."""
    pairs = len(volume) // 2
    hu = volume.hu[: 2 * pairs].astype(np.float32).reshape(pairs, 2, *volume.hu.shape[1:]).mean(axis=1)
    positions = np.array(volume.positions_mm)[: 2 * pairs].reshape(pairs, 2, 3).mean(axis=1)
    return replace(
        volume,
        hu=_whole(hu),
        spacing_mm=(2 * volume.spacing_mm[0], *volume.spacing_mm[1:]),
        positions_mm=tuple((float(x), float(y), float(z)) for x, y, z in positions),
        sources=volume.sources[: 2 * pairs : 2],
    )


def moved(
    volume: CTVolume,
    rotation_deg: tuple[float, float, float] = ROTATION_DEG,
    shift_mm: tuple[float, float, float] = SHIFT_MM,
) -> CTVolume:
    """The patient lies otherwise: turned about the scan's middle, along (slice, row, column), and shifted."""
    spacing = np.array(volume.spacing_mm)
    middle = (np.array(volume.hu.shape) - 1) / 2
    # From a voxel of the new scan to the one of the old that came there.
    matrix = np.diag(1 / spacing) @ _rotation(rotation_deg).T @ np.diag(spacing)
    offset = middle - matrix @ (middle + np.array(shift_mm) / spacing)
    hu = ndimage.affine_transform(volume.hu.astype(np.float32), matrix, offset, order=1, cval=-1024.0)
    return replace(volume, hu=_whole(hu))


# What two scans of one day may differ by.
CHANGES: Final[Mapping[str, Change]] = {
    "noise": noisier,
    "soft kernel": softer,
    "sharp kernel": sharper,
    "thick slices": thicker,
    "moved": moved,
    "moved, noise": lambda volume: noisier(moved(volume), seed=2),
}
GROWN: Final = partial(noisier, seed=3)  # of the second scan of a pair whose nodules have grown


def place_mm(volume: CTVolume, place: tuple[float, float, float]) -> PointMm:
    """A (slice, row, column) place in patient mm."""
    index, row, column = place
    nearest = min(max(round(index), 0), len(volume) - 1)
    at = np.array(volume.to_patient_mm(nearest, (column, row)))
    x, y, z = (at + (index - nearest) * volume.spacing_mm[0] * np.array(volume.orientation.normal)).tolist()
    return x, y, z


def _occupied(volume: CTVolume, ball: PlantedBall) -> tuple[tuple[slice, ...], Hu]:
    """The voxels around a ball, and the share of each that is ball."""
    radius_mm, spacing = ball.diameter_mm / 2, volume.spacing_mm
    half = [int(np.ceil((radius_mm + EDGE_MM) / mm)) + 1 for mm in spacing]
    window = tuple(
        slice(max(0, at - n), min(size, at + n + 1))
        for at, n, size in zip(ball.place, half, volume.hu.shape, strict=True)
    )
    planes, rows, columns = (
        (np.arange(w.start, w.stop) - at) * mm for w, at, mm in zip(window, ball.place, spacing, strict=True)
    )
    share = np.zeros((len(planes), len(rows), len(columns)), np.float32)
    for part in (np.arange(SUBSLICES) + 0.5) / SUBSLICES - 0.5:
        heights = planes + part * spacing[0]
        apart_mm = np.sqrt(heights[:, None, None] ** 2 + rows[None, :, None] ** 2 + columns[None, None, :] ** 2)
        share += np.clip((radius_mm - apart_mm) / EDGE_MM + 0.5, 0, 1).astype(np.float32) / SUBSLICES
    return window, share


def _rotation(rotation_deg: tuple[float, float, float]) -> NDArray[np.float64]:
    matrix, _ = cv2.Rodrigues(np.radians(rotation_deg))
    return np.asarray(matrix, np.float64)


def _blurred(image: Hu) -> Hu:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), GRAIN_PX), np.float32)


def _whole(hu: NDArray[np.float32]) -> NDArray[np.int16]:
    return np.rint(np.clip(hu, -1024, 3071)).astype(np.int16)
