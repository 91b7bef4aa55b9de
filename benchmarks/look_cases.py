"""What the second look is asked about: what the filter lets pass in scans, plantings and chest slices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.imaging.candidates import LARGE_MM, LARGE_ZOOM, find_candidates
from app.imaging.lungs import segment_lungs
from app.imaging.patches import PatchSpec, extract_patch
from app.imaging.planes import PLANES, plane_patches
from app.imaging.read import read_slice
from app.imaging.volume_candidates import find_volume_candidates
from app.imaging.volume_lungs import segment_volume
from app.inference.detector import best_apart
from app.inference.suspicion import FieldsContract, slice_fields, volume_fields
from benchmarks.planted_scans import Found, PlantedScan, planted_scan
from benchmarks.whole_scans import SAME_FINDING_MM, WholeScanCase, whole_scan_case
from training.data.nodules import Nodule
from training.data.scans import Scan
from training.second_look.config import LookScanConfig
from training.second_look.false_findings import Ask
from training.second_look.pools import filter_scores, nodule_place
from training.second_look.samples import Place, fields_at

LESION_FREE_MM: Final = 5.0  # between a slice and the nearest known finding, along the normal
MARK_MM: Final = 20.0  # a finding this near to the marked middle of a mass is on it

Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]
Fields = NDArray[np.float32]
Looks = Callable[[Fields], tuple[NDArray[np.float32], NDArray[np.float32]]]  # `suspicious` and `nodule`, (N,) each


@dataclass(frozen=True, slots=True)
class Gate:
    """The filter as a slice and a series are served with it: its patch, its logits and from which it lets pass."""

    spec: PatchSpec
    ask: Ask
    slice_from: float
    series_from: float
    contract: FieldsContract

    @property
    def specs(self) -> list[PatchSpec]:
        """Every patch that a finding may need."""
        return [spec for zoom in (1.0, LARGE_ZOOM) for spec in (self.scaled(zoom), *self.contract.specs(zoom))]

    def scaled(self, zoom: float) -> PatchSpec:
        """The filter's patch of a place seen coarser."""
        return PatchSpec(self.spec.size_px, self.spec.spacing_mm * zoom)


@dataclass(frozen=True, slots=True, eq=False)
class Passed:
    """Findings that the filter lets pass: its logits (N,), fields (N, size, size, 2), and whether they are on what was
    asked about (N,)."""

    logits: NDArray[np.float32]
    fields: Fields
    on: Flags


@dataclass(frozen=True, slots=True, eq=False)
class PlantedNodule:
    """A nodule and the findings around its planting, or around it in its own patch."""

    nodule: Nodule
    found: Passed


@dataclass(frozen=True, slots=True, eq=False)
class SliceCase:
    """A scan slice by slice: what the filter lets pass of its false findings, whether a slice is far from everything
    known, and the nodules planted into it and as they were scanned."""

    name: str
    false: tuple[Passed, ...]
    lesion_free: Flags
    plantings: tuple[PlantedNodule, ...]
    native: tuple[PlantedNodule, ...]


@dataclass(frozen=True, slots=True, eq=False)
class SeriesCase:
    """A scan in series mode: what passes, in three planes: `fields` (N, 3, size, size, 2), `logits` (N,) means."""

    case: WholeScanCase
    numbers: NDArray[np.intp]
    logits: NDArray[np.float32]
    fields: Fields

    def false_and_known(self, scores: Floats) -> tuple[Floats, list[float]]:
        """Scores of the findings on nothing known, strongest first, and of the best on each known lesion."""
        case, kept = self.case, list[int]()
        for k in np.argsort(-scores, kind="stable").tolist():
            at = case.positions_mm[self.numbers[k]]
            if all(np.linalg.norm(case.positions_mm[self.numbers[j]] - at) >= SAME_FINDING_MM for j in kept):
                kept.append(k)
        false = [k for k in kept if case.lesion[self.numbers[k]] < 0 and not case.marked[self.numbers[k]]]
        known = [float(scores[case.lesion[self.numbers] == n].max(initial=-np.inf)) for n in range(len(case.lesions))]
        return scores[false], known


@dataclass(frozen=True, slots=True, eq=False)
class ChestCase:
    """A chest slice of the table: its findings, those on a marked mass being `on`."""

    file: str
    part: int
    region: str
    reading: str
    found: Passed


def slice_case(scan: Scan, nodules: Sequence[Nodule], gate: Gate) -> SliceCase:
    """Plant `nodules` into a scan and collect what passes, on it and in their own patches."""
    planted: PlantedScan = planted_scan(scan, nodules, gate.specs)
    indices = [k for k in range(len(scan.volume)) if segment_lungs(scan.volume.slice_at(k)).any()]
    return SliceCase(
        name=scan.name,
        false=tuple(passed(found, np.zeros(len(found.points_mm), np.bool_), gate) for found in planted.false),
        lesion_free=np.array([_along_mm(scan, k) > LESION_FREE_MM for k in indices], np.bool_),
        plantings=tuple(PlantedNodule(p.nodule, passed(p.found, p.on, gate)) for p in planted.plantings),
        native=tuple(PlantedNodule(n, _native(n, gate)) for n in nodules),
    )


def _along_mm(scan: Scan, index: int) -> float:
    """Distance of a slice along the normal to the nearest known finding's sphere."""
    if not len(scan.known_mm):
        return float("inf")
    offsets = scan.known_mm[:, :3] - np.asarray(scan.volume.positions_mm[index])
    return float((np.abs(offsets @ np.asarray(scan.volume.orientation.normal)) - scan.known_mm[:, 3]).min())


def passed(found: Found, on: Flags, gate: Gate) -> Passed:
    """As `Detector.passed`: what the filter scores highly enough, one to a place; large ones are seen coarser."""
    zooms = np.where(found.diameters_mm > LARGE_MM, LARGE_ZOOM, 1.0)
    logits = np.zeros(len(zooms), np.float32)
    for zoom in np.unique(zooms).tolist():
        logits[zooms == zoom] = gate.ask(found.patches[gate.scaled(zoom)][zooms == zoom])
    enough = np.flatnonzero(logits >= gate.slice_from)
    numbers = enough[best_apart(found.points_mm[enough], found.diameters_mm[enough], logits[enough])]
    fields = [
        np.stack([found.patches[spec][k] for spec in gate.contract.specs(float(zooms[k]))], axis=-1) for k in numbers
    ]
    return Passed(logits[numbers], _stacked(fields, gate), on[numbers])


def _native(nodule: Nodule, gate: Gate) -> Passed:
    own = nodule_place(nodule)
    zoom = LARGE_ZOOM if nodule.diameter_mm > LARGE_MM else 1.0
    place = Place(own.section, own.spacing_mm, own.centre_px, zoom)
    logits = filter_scores([place], gate.ask, gate.spec)
    kept = logits >= gate.slice_from
    fields = fields_at(place, gate.contract)[None][kept]
    return Passed(logits[kept], fields, np.ones(len(fields), np.bool_))


def series_case(scan: Scan, data: Path, config: LookScanConfig, gate: Gate) -> SeriesCase:
    """The candidates of a volume that pass, seen in three planes."""
    case = whole_scan_case(scan, data, config, gate.spec)
    found = find_volume_candidates(scan.volume, segment_volume(scan.volume))
    points = [(*c.centre_px, c.slice_position) for c in found]
    zooms = [LARGE_ZOOM if c.diameter_mm > LARGE_MM else 1.0 for c in found]
    patches = [plane_patches(scan.volume, p, gate.scaled(zoom)) for p, zoom in zip(points, zooms, strict=True)]
    each = gate.ask(np.concatenate(patches)).reshape(-1, len(PLANES))
    numbers = np.flatnonzero(each.sum(axis=1) >= gate.series_from)
    fields = [volume_fields(scan.volume, points[k], gate.contract.specs(zooms[k])) for k in numbers]
    return SeriesCase(case, numbers, each.mean(axis=1)[numbers], np.stack(fields))


def chest_case(folder: Path, row: dict[str, str], part: int, gate: Gate) -> ChestCase:
    """The findings of one slice of the table."""
    ct_slice = read_slice((folder / row["file"]).read_bytes())
    candidates = find_candidates(ct_slice, segment_lungs(ct_slice))
    down_mm, across_mm = ct_slice.spacing_mm
    points_mm = np.array([c.centre_px for c in candidates], np.float64).reshape(-1, 2) * (across_mm, down_mm)
    diameters_mm = np.array([c.diameter_mm for c in candidates], np.float64)
    zooms = [LARGE_ZOOM if d > LARGE_MM else 1.0 for d in diameters_mm]
    patches = [extract_patch(ct_slice, c.centre_px, gate.scaled(z)).hu for c, z in zip(candidates, zooms, strict=True)]
    logits = gate.ask(np.stack(patches)) if patches else np.zeros(0, np.float32)
    enough = np.flatnonzero(logits >= gate.slice_from)
    numbers = enough[best_apart(points_mm[enough], diameters_mm[enough], logits[enough])]
    fields = [slice_fields(ct_slice, candidates[k].centre_px, gate.contract.specs(zooms[k])) for k in numbers]
    on = np.zeros(len(numbers), np.bool_)
    if row["column"]:
        mark_mm = np.array([float(row["column"]) * across_mm, float(row["row"]) * down_mm])
        on = np.asarray(np.linalg.norm(points_mm[numbers] - mark_mm, axis=1) <= MARK_MM, np.bool_)
    return ChestCase(
        row["file"],
        part,
        row["region"],
        row["reading"],
        Passed(logits[numbers], _stacked(fields, gate), on),
    )


def _stacked(fields: Sequence[Fields], gate: Gate) -> Fields:
    size = gate.contract.size_px
    return np.stack(fields) if len(fields) else np.zeros((0, size, size, 2), np.float32)
