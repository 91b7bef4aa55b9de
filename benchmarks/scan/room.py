"""Where in a scan a nodule may be planted: free in aerated lung, or onto the wall of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Literal, Self

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from app.imaging.lungs import AIRLIKE_HU, WORK_SPACING_MM, filled_body, shrink
from app.imaging.volume_lungs import segment_volume
from benchmarks.planting import LUNG_LIKE_HU
from benchmarks.scan.volume_planting import Mask, Voxel
from training.data.scans import Scan, patient_mm

Setting = Literal["free", "wall"]
Floats = NDArray[np.float32]
Rng = np.random.Generator

DRAWN: Final = 20_000  # voxels of lung, for each planting
TRIES: Final = 300  # of these that may do
VESSEL_VX: Final = 3  # closed by so many work pixels, a vessel of 8 mm is room like the lung around it
KNOWN_MM: Final = 25.0  # between a planting's surface and anything known
MASS_MM: Final = 15.0
MAX_VESSEL: Final = 0.05  # of the place of a nodule that is vessel; the blend would cut it off
MAX_VESSEL_OF_MASS: Final = 0.15  # no place for a mass is free of them
ON_WALL: Final = (0.4, 0.85)  # of a nodule on a wall that lies in lung
WALL_REACH: Final = (0.1, 0.8)  # of its radius: how deep in the lung its middle lies
SKIN_MM: Final = 8.0  # between it and the outside of the body
CHEST_WALL_MM: Final = 60.0  # deeper than the radius and this is the mediastinum's wall, and the hilum's


@dataclass(frozen=True, slots=True, eq=False)
class Room:
    """A scan on work pixels (slice, row, column): the distance in mm from each voxel of aerated lung to what is none,
    the depth under the skin, and the flat numbers of those in `lung`."""

    scan: Scan
    inner_mm: Floats
    depth_mm: Floats
    lung: NDArray[np.intp] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "lung", np.flatnonzero(self.inner_mm > 0))

    @classmethod
    def of(cls, scan: Scan) -> Self:
        """Measure a scan."""
        volume, lungs = scan.volume, segment_volume(scan.volume)
        small = np.stack([shrink(image, volume.spacing_mm[1:]) for image in volume.hu])
        field = np.stack([lungs.work_mask(k) for k in range(len(volume))])
        disc = ndimage.iterate_structure(ndimage.generate_binary_structure(2, 1), VESSEL_VX)[None]
        aerated = ndimage.binary_closing((small < AIRLIKE_HU) & field, disc) & field
        work_mm = (volume.spacing_mm[0], WORK_SPACING_MM, WORK_SPACING_MM)
        inner_mm = ndimage.distance_transform_edt(aerated, sampling=work_mm)
        bodies = (np.pad(filled_body(image, WORK_SPACING_MM), 1) for image in small)
        depth = np.stack([ndimage.distance_transform_edt(body)[1:-1, 1:-1] for body in bodies])
        return cls(scan, inner_mm.astype(np.float32), (depth * WORK_SPACING_MM).astype(np.float32))

    def free_places(self, covered: Mask, radius_mm: float, rng: Rng) -> Iterator[Voxel]:
        """(slice, row, column) voxels for the middle of a planting that covers (slices, rows, columns) voxels around
        it, wholly in lung and on next to no vessel."""
        reach = (np.argwhere(covered) - _half(covered)) * self.scan.volume.spacing_mm
        drawn = self._drawn(rng)
        choices = drawn[self.inner_mm.flat[drawn] > np.linalg.norm(reach, axis=1).max()]
        most = MAX_VESSEL if 2 * radius_mm < MASS_MM else MAX_VESSEL_OF_MASS
        for voxel, under in self._tried(choices, covered, radius_mm):
            if float((under > LUNG_LIKE_HU).mean()) <= most:
                yield voxel

    def wall_places(self, core: Mask, radius_mm: float, rng: Rng) -> Iterator[Voxel]:
        """The same for one that lies with a part of its `core` in the lung's wall, the chest's rather than the
        mediastinum's."""
        low, high = (share * radius_mm for share in WALL_REACH)
        drawn = self._drawn(rng)
        inner_mm, depth_mm = self.inner_mm.flat[drawn], self.depth_mm.flat[drawn] - radius_mm
        on_wall = (inner_mm > low) & (inner_mm < high) & (depth_mm > SKIN_MM) & (depth_mm < CHEST_WALL_MM)
        for voxel, under in self._tried(drawn[on_wall], core, radius_mm):
            if ON_WALL[0] <= float((under < LUNG_LIKE_HU).mean()) <= ON_WALL[1]:
                yield voxel

    def lung_at(self, index: int) -> Mask:
        """Boolean (rows, columns): aerated lung of a slice."""
        rows, columns = self.scan.volume.hu.shape[1:]
        small = (self.inner_mm[index] > 0).view(np.uint8)
        return np.asarray(cv2.resize(small, (columns, rows), interpolation=cv2.INTER_NEAREST), np.bool_)

    def patient_mm(self, voxel: Voxel) -> NDArray[np.float64]:
        """A voxel's middle in patient mm."""
        index, row, column = voxel
        return patient_mm(self.scan.volume, (column, row, index))

    def _drawn(self, rng: Rng) -> NDArray[np.intp]:
        return np.asarray(self.lung[rng.integers(len(self.lung), size=DRAWN)], np.intp)

    def _tried(self, choices: NDArray[np.intp], covered: Mask, radius_mm: float) -> Iterator[tuple[Voxel, Floats]]:
        """TRIES of the choices, those KNOWN_MM and more from anything known, each with the HU that it would cover."""
        for number in choices[:TRIES].tolist():
            index, row, column = voxel = self.voxel(number)
            if self.scan.clearance_mm((column, row, index)) < radius_mm + KNOWN_MM:
                continue
            window = [slice(p - h, p + h + 1) for p, h in zip(voxel, _half(covered), strict=True)]
            if all(w.start >= 0 and w.stop <= n for w, n in zip(window, self.scan.volume.hu.shape, strict=True)):
                yield voxel, self.scan.volume.hu[tuple(window)][covered].astype(np.float32)

    def voxel(self, number: int) -> Voxel:
        """A work pixel's middle on the scan's own grid."""
        at = np.unravel_index(number, self.inner_mm.shape)
        ratios = (full / work for full, work in zip(self.scan.volume.hu.shape, self.inner_mm.shape, strict=True))
        index, row, column = (int((int(n) + 0.5) * ratio) for n, ratio in zip(at, ratios, strict=True))
        return index, row, column


def _half(covered: Mask) -> Voxel:
    slices, rows, columns = (n // 2 for n in covered.shape)
    return slices, rows, columns
