"""Places in scans and slices that a search might show though nothing is there, and the lesions that are."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from app.imaging.candidates import Candidate, find_candidates
from app.imaging.ct import CTSlice
from app.imaging.lungs import segment_lungs
from app.imaging.patches import PatchSpec, extract_patch
from app.imaging.planes import PointVx
from app.imaging.volume import CTVolume
from training.detector.scans import Scan
from training.second_look.config import LesionConfig, MiningConfig

LARGE_MM: Final = 24.0  # a candidate larger than this is seen twice as coarse
LARGE_ZOOM: Final = 2.0
SHRINK: Final = 3  # a closing of centimetres needs no finer pixels
LESION_STEPS: Final = (-0.25, 0.0, 0.25)  # of a lesion's diameter along the normal: sections through its middle half

Ask = Callable[[NDArray[np.float32]], NDArray[np.float32]]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class FalseFinding:
    """A (column, row, slice) point far from everything known, how coarse it is seen and the filter's logit."""

    point: PointVx
    zoom: float
    filter_score: float


def zoom_of(candidate: Candidate) -> float:
    """How much coarser than usual a candidate is seen."""
    return LARGE_ZOOM if candidate.diameter_mm > LARGE_MM else 1.0


def false_in_scan(scan: Scan, mining: MiningConfig, ask: Ask, spec: PatchSpec) -> tuple[FalseFinding, ...]:
    """The false findings of every slice; the same every time."""
    found = []
    for index in range(len(scan.volume)):
        ct_slice = scan.volume.slice_at(index)
        candidates = [
            c
            for c in candidates_of(ct_slice, mining.closing_mm)
            if scan.clearance_mm((*c.centre_px, float(index))) >= mining.clearance_mm
        ]
        found += [
            FalseFinding((*candidates[k].centre_px, float(index)), zoom_of(candidates[k]), score)
            for k, score in likely(ct_slice, candidates, mining, ask, spec)
        ]
    return tuple(found)


def candidates_of(ct_slice: CTSlice, closing_mm: float) -> tuple[Candidate, ...]:
    """Candidates in the lungs and in what a closing of them takes in: hilum, pleura, the wall between ribs."""
    return find_candidates(ct_slice, closed(segment_lungs(ct_slice), ct_slice.spacing_mm[0], closing_mm))


def closed(lungs: Mask, pixel_mm: float, closing_mm: float) -> Mask:
    """Lungs closed by a disc of that radius."""
    if not lungs.any():
        return lungs
    reach = max(1, round(closing_mm / pixel_mm / SHRINK))
    small = np.pad(lungs.view(np.uint8)[::SHRINK, ::SHRINK], reach)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    kept = cv2.morphologyEx(small, cv2.MORPH_CLOSE, disc)[reach:-reach, reach:-reach]
    rows, columns = lungs.shape
    grown = cv2.resize(np.ascontiguousarray(kept), (columns, rows), interpolation=cv2.INTER_NEAREST)
    return np.asarray(lungs | grown.view(np.bool_), np.bool_)


def likely(
    ct_slice: CTSlice, candidates: Sequence[Candidate], mining: MiningConfig, ask: Ask, spec: PatchSpec
) -> list[tuple[int, float]]:
    """Numbers and filter logits of the candidates that the filter scores highest and of some others."""
    if not candidates:
        return []
    specs = [PatchSpec(spec.size_px, spec.spacing_mm * zoom_of(c)) for c in candidates]
    scores = ask(np.stack([extract_patch(ct_slice, c.centre_px, s).hu for c, s in zip(candidates, specs, strict=True)]))
    falling = np.argsort(-scores, kind="stable")
    rest = falling[mining.best_per_slice :]
    step = max(1, math.ceil(len(rest) / max(1, mining.random_per_slice)))
    kept = [*falling[: mining.best_per_slice].tolist(), *rest[::step].tolist()]
    return [(k, float(scores[k])) for k in kept]


def lesion_points(volume: CTVolume, lesion: LesionConfig) -> list[tuple[PointVx, float, float]]:
    """(column, row, slice) points in a lesion's middle half, its radius in mm, and how coarse it is seen."""
    column, row, index = voxel_point(volume, lesion.centre_mm)
    steps = {round(index + step * lesion.diameter_mm / volume.spacing_mm[0]) for step in LESION_STEPS}
    zooms = (1.0, LARGE_ZOOM) if lesion.diameter_mm > LARGE_MM / 2 else (1.0,)
    return [((column, row, float(k)), lesion.diameter_mm / 2, z) for k in sorted(steps) for z in zooms]


def voxel_point(volume: CTVolume, position_mm: tuple[float, float, float]) -> PointVx:
    """(x, y, z) in patient mm to (column, row, slice)."""
    offset = np.asarray(position_mm) - np.asarray(volume.positions_mm[0])
    axes = (volume.orientation.row, volume.orientation.column, volume.orientation.normal)
    between, down, across = volume.spacing_mm
    column, row, index = (
        float(offset @ np.asarray(axis)) / mm for axis, mm in zip(axes, (across, down, between), strict=True)
    )
    return column, row, index
