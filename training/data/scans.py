"""Whole scans as a source of hard negatives: what a blob detector finds far from everything that anyone marked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from app.errors import InputError
from app.imaging.candidates import find_candidates
from app.imaging.lungs import segment_lungs
from app.imaging.planes import PointVx
from app.imaging.read import read_slice
from app.imaging.volume import CTVolume
from training.data.lidc_xml import NAMESPACE
from training.data.nodules import DatasetMissing

Floats = NDArray[np.float64]
NODULE: Final = f"{{{NAMESPACE}}}unblindedReadNodule"  # of any size: those below 3 mm are one point without ratings


class Keepout(BaseModel):
    """A sphere around a patient point (x, y, z) in mm that holds a known finding."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    centre_mm: tuple[float, float, float]
    radius_mm: Annotated[float, Field(gt=0)]


class ScanConfig(BaseModel):
    """A whole scan: its folder under the data, the folds whose nodules benchmarks/planted.py puts into it, the readers'
    file beside its slices, and what else is known in it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: str
    planted_folds: tuple[int, ...] = ()
    readings: str = ""
    keepouts: tuple[Keepout, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Scan:
    """A series and the spheres (K, 4) that hold what is known in it: x, y, z in patient mm and radius in mm."""

    name: str
    volume: CTVolume
    known_mm: Floats

    def clearance_mm(self, point: PointVx) -> float:
        """Distance in mm from a (column, row, slice) point to the nearest known finding; inf where none is known."""
        if not len(self.known_mm):
            return float("inf")
        at = patient_mm(self.volume, point)
        return float((np.linalg.norm(self.known_mm[:, :3] - at, axis=1) - self.known_mm[:, 3]).min())


def patient_mm(volume: CTVolume, point: PointVx) -> Floats:
    """(column, row, slice) to (x, y, z) in patient mm; a slice between two is as far between them."""
    column, row, index = point
    nearest = min(max(round(index), 0), len(volume) - 1)
    along = (index - nearest) * volume.spacing_mm[0] * np.asarray(volume.orientation.normal)
    return np.asarray(volume.to_patient_mm(nearest, (column, row)), np.float64) + along


def read_scan(data: Path, name: str, config: ScanConfig) -> Scan:
    """Read a scan and everything known in it; raises DatasetMissing where its folder holds no CT."""
    volume = read_volume(data / config.folder)
    known = [(*k.centre_mm, k.radius_mm) for k in config.keepouts]
    if config.readings:
        known += marked_spheres(volume, (data / config.folder / config.readings).read_bytes())
    return Scan(name, volume, np.array(known, np.float64).reshape(-1, 4))


def read_volume(folder: Path) -> CTVolume:
    """The axial series in `folder`, one DICOM file a slice; raises DatasetMissing without any."""
    slices = []
    for file in sorted(folder.glob("*.dcm")):
        try:
            slices.append(read_slice(file.read_bytes()))
        except InputError:
            continue
    placed = sorted(((s.position_mm, s) for s in slices if s.position_mm is not None), key=lambda pair: pair[0][2])
    orientation = placed[0][1].orientation if placed else None
    if len(placed) < 2 or orientation is None:
        raise DatasetMissing(found=f"no CT series in {folder.name}", expected="DICOM slices", remedy="Check --data.")
    positions = tuple(position for position, _ in placed)
    first = placed[0][1]
    return CTVolume(
        hu=np.stack([s.hu.astype(np.int16) for _, s in placed]),
        spacing_mm=(float(np.median(np.diff([p[2] for p in positions]))), *first.spacing_mm),
        orientation=orientation,
        positions_mm=positions,
        sources=tuple(s.source for _, s in placed),
    )


def marked_spheres(volume: CTVolume, readings: bytes) -> list[tuple[float, float, float, float]]:
    """(x, y, z, radius) in mm around every reader's contour of every slice; a mark of one point has radius 0."""
    index_of = {source.sop_instance_uid: k for k, source in enumerate(volume.sources)}
    spheres = []
    for roi in ElementTree.fromstring(readings).iterfind(f".//{NODULE}/{{{NAMESPACE}}}roi"):
        index = index_of.get((roi.findtext(f"{{{NAMESPACE}}}imageSOP_UID") or "").strip())
        points = _edge_points(roi)
        if index is not None and len(points):
            middle, radius_mm = points.mean(axis=0), float(np.ptp(points, axis=0).max()) / 2 * volume.spacing_mm[1]
            x, y, z = volume.to_patient_mm(index, (float(middle[0]), float(middle[1])))
            spheres.append((x, y, z, radius_mm))
    return spheres


def _edge_points(roi: ElementTree.Element) -> Floats:
    """(N, 2) (column, row) pixels."""
    edges = roi.iterfind(f"{{{NAMESPACE}}}edgeMap")
    found = [[float(e.findtext(f"{{{NAMESPACE}}}{axis}Coord") or "nan") for axis in "xy"] for e in edges]
    return np.array(found, np.float64).reshape(-1, 2)


def false_candidates(scan: Scan, clearance_mm: float) -> tuple[PointVx, ...]:
    """(column, row, slice) of the candidates of every slice that lie `clearance_mm` or farther from what is known."""
    points = []
    for index in range(len(scan.volume)):
        ct_slice = scan.volume.slice_at(index)
        found = [(*c.centre_px, float(index)) for c in find_candidates(ct_slice, segment_lungs(ct_slice))]
        points += [p for p in found if scan.clearance_mm(p) >= clearance_mm]
    return tuple(points)
