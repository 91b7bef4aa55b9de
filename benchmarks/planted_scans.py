"""Puts held-out nodules into a scan and collects every candidate of its slices, planted or not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from app.imaging.candidates import Candidate, find_candidates
from app.imaging.ct import CTSlice
from app.imaging.lungs import lung_area_cm2, segment_lungs
from app.imaging.patches import PatchSpec, extract_patch
from benchmarks.planting import MAX_WALL, Graft, distance_mm, find_place, graft, plant, wall_share
from training.data.nodules import Nodule
from training.data.scans import Scan

MIN_PLANTED_MM: Final = 4.0
MIN_LUNG_CM2: Final = 60.0  # of a slice that is planted; smaller sections of lung have no room
TRIED_SLICES: Final = 15
APART_MM: Final = 25.0  # between a planting and anything known in the scan
KNOWN_MM: Final = 5.0  # a candidate closer to a mark is neither found nor false
MIN_HIT_MM: Final = 3.0  # a candidate is on a nodule within its radius, and within this
NEAR_MM: Final = 40.0  # around a planting: no candidate farther off can be the same finding
SEED: Final = 20261123
VIEW = PatchSpec(96, 0.5)

Mask = NDArray[np.bool_]
Patches = Mapping[PatchSpec, NDArray[np.float32]]


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """Candidates on one slice: their middles (N, 2) in mm from its first pixel, diameters (N,) in mm, and patches
    (N, size, size) by spec."""

    points_mm: NDArray[np.float64]
    diameters_mm: NDArray[np.float64]
    patches: Patches


@dataclass(frozen=True, slots=True, eq=False)
class Planting:
    """A nodule on a slice: the candidates around it, which (N,) of them are on it, and a picture of the place."""

    nodule: Nodule
    index: int
    place: tuple[int, int]
    found: Found
    on: Mask
    view: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class PlantedScan:
    """`false` holds, for each slice with lung, its candidates away from everything known."""

    scan: Scan
    plantings: tuple[Planting, ...]
    false: tuple[Found, ...]
    left_out: dict[str, int]


def planted_scan(scan: Scan, nodules: Sequence[Nodule], specs: Sequence[PatchSpec]) -> PlantedScan:
    """Plant each nodule that lies free once into `scan`; the same every time."""
    slices = [scan.volume.slice_at(k) for k in range(len(scan.volume))]
    lungs = [segment_lungs(s) for s in slices]
    false = [_false(scan, k, slices[k], lungs[k], specs) for k in range(len(slices)) if lungs[k].any()]
    allowed = {k: lungs[k] & ~known_pixels(scan, k, slices[k]) for k in range(len(slices))
               if lung_area_cm2(lungs[k], slices[k]) >= MIN_LUNG_CM2}  # fmt: skip
    left_out: Counter[str] = Counter()
    plantings = []
    for nodule in tqdm(nodules, desc=f"plant in {scan.name}", mininterval=5):
        if reason := _unfit(nodule):
            left_out[reason] += 1
        elif planting := _planted(nodule, slices, allowed, specs):
            plantings.append(planting)
        else:
            left_out["no room"] += 1
    return PlantedScan(scan, tuple(plantings), tuple(false), dict(left_out))


def _unfit(nodule: Nodule) -> str:
    if not nodule.diameter_mm >= MIN_PLANTED_MM:
        return f"below {MIN_PLANTED_MM:g} mm"
    return "on the wall" if wall_share(nodule) > MAX_WALL else ""


def _planted(
    nodule: Nodule, slices: Sequence[CTSlice], allowed: Mapping[int, Mask], specs: Sequence[PatchSpec]
) -> Planting | None:
    rng = np.random.default_rng([SEED, nodule.nodule_id])
    grafted: Graft = graft(nodule, slices[0].spacing_mm[1])
    for index in rng.permutation(list(allowed))[:TRIED_SLICES].tolist():
        if (place := find_place(grafted, slices[index], allowed[index], rng)) is not None:
            planted = plant(slices[index], grafted, place)
            reach = max(nodule.diameter_mm / 2, MIN_HIT_MM)
            everywhere = find_candidates(planted, segment_lungs(planted))
            near = [c for c in everywhere if distance_mm(planted, c.centre_px, place) <= NEAR_MM]
            on = np.array([distance_mm(planted, c.centre_px, place) <= reach for c in near], np.bool_)
            view = extract_patch(planted, place, VIEW).hu
            return Planting(nodule, index, place, _found(planted, near, specs), on, view)
    return None


def _false(scan: Scan, index: int, ct_slice: CTSlice, lungs: Mask, specs: Sequence[PatchSpec]) -> Found:
    candidates = find_candidates(ct_slice, lungs)
    unknown = [c for c in candidates if scan.clearance_mm((*c.centre_px, float(index))) > KNOWN_MM]
    return _found(ct_slice, unknown, specs)


def _found(ct_slice: CTSlice, candidates: Sequence[Candidate], specs: Sequence[PatchSpec]) -> Found:
    down_mm, across_mm = ct_slice.spacing_mm
    points = np.array([c.centre_px for c in candidates], np.float64).reshape(-1, 2)
    diameters_mm = np.array([c.diameter_mm for c in candidates], np.float64)
    cut = {spec: [extract_patch(ct_slice, c.centre_px, spec).hu for c in candidates] for spec in specs}
    empty = np.zeros((0, 1, 1), np.float32)
    return Found(points * (across_mm, down_mm), diameters_mm, {s: np.stack(p) if p else empty for s, p in cut.items()})


def known_pixels(scan: Scan, index: int, ct_slice: CTSlice) -> Mask:
    """Pixels too close to anything known, on this slice or a near one."""
    mask = np.zeros(ct_slice.hu.shape, np.uint8)
    origin, spacing_mm = np.asarray(scan.volume.positions_mm[index]), ct_slice.spacing_mm[1]
    orientation = scan.volume.orientation
    for x, y, z, radius_mm in scan.known_mm:
        offset = np.array([x, y, z]) - origin
        if abs(offset @ np.asarray(orientation.normal)) < radius_mm + APART_MM:
            column, row = (round(float(offset @ np.asarray(axis)) / spacing_mm)
                           for axis in (orientation.row, orientation.column))  # fmt: skip
            cv2.circle(mask, (column, row), round((radius_mm + APART_MM) / spacing_mm), 1, cv2.FILLED)
    return mask.astype(bool)
