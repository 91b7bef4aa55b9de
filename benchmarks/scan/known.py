"""The three whole scans of the development data, what is known in them, and where nothing is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from app.imaging.ct import CTSlice
from app.imaging.volume_lungs import segment_volume
from benchmarks.whole_scans import Lesion, known_lesions
from training.data.scans import Keepout, Scan, ScanConfig, read_scan

CLEAR_MM: Final = 5.0  # between a slice without lesion and the nearest contour that any reader drew
MIN_RUN_SLICES: Final = 12  # of a part of a scan that is judged as a series


@dataclass(frozen=True, slots=True)
class ScanRole:
    """A scan, the fold of its patient, and the fold whose nodules are planted into it."""

    config: ScanConfig
    fold: int
    planted_fold: int


SCANS: Final = {
    "lidc-0012": ScanRole(ScanConfig(folder="series/lidc-0012", readings="readings.xml"), 4, 4),
    "lidc-0001": ScanRole(ScanConfig(folder="series/lidc-0001", readings="readings.xml"), 1, 0),
    "cptac-c3n-00247": ScanRole(
        ScanConfig(
            folder="series/cptac-c3n-00247",
            # a spiculated mass of about 20 mm
            keepouts=(Keepout(centre_mm=(-81.1, -190.7, -192.0), radius_mm=30.0),),
        ),
        0,
        0,
    ),
}


@dataclass(frozen=True, slots=True, eq=False)
class KnownScan:
    """A scan, the lesions in it that must be found, and the indices of its slices with lung and without lesion."""

    role: ScanRole
    scan: Scan
    lesions: tuple[Lesion, ...]
    free: tuple[int, ...]

    @property
    def name(self) -> str:
        """The folder's."""
        return self.scan.name

    def slice_at(self, index: int) -> CTSlice:
        """One slice of it."""
        return self.scan.volume.slice_at(index)

    @property
    def free_runs(self) -> tuple[range, ...]:
        """The parts without lesion: neighbouring free slices, MIN_RUN_SLICES and more."""
        breaks = np.flatnonzero(np.diff(self.free) > 1) + 1
        parts = (range(int(p[0]), int(p[-1]) + 1) for p in np.split(np.array(self.free), breaks) if len(p))
        return tuple(part for part in parts if len(part) >= MIN_RUN_SLICES)


def read_known(data: Path, name: str) -> KnownScan:
    """Read one of SCANS; raises DatasetMissing where its folder holds no CT."""
    role = SCANS[name]
    scan = read_scan(data, name, role.config)
    return KnownScan(role, scan, known_lesions(scan, data, role.config), free_slices(scan))


def free_slices(scan: Scan) -> tuple[int, ...]:
    """Indices of the slices that show lung and lie CLEAR_MM or farther from every contour and keep-out."""
    lung = segment_volume(scan.volume).areas_cm2 > 0
    heights, known = scan.volume.heights_mm[:, None], scan.known_mm
    normal = np.asarray(scan.volume.orientation.normal)
    apart_mm = (np.abs(heights - known[:, :3] @ normal) - known[:, 3]).min(axis=1, initial=np.inf)
    return tuple(np.flatnonzero(lung & (apart_mm > CLEAR_MM)).tolist())
