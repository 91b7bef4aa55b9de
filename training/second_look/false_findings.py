"""Places in scans and slices that a search might show though nothing is there, and the lesions that are."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.imaging.candidates import LARGE_MM, LARGE_ZOOM, Candidate, find_candidates
from app.imaging.ct import CTSlice
from app.imaging.lungs import segment_lungs
from app.imaging.patches import PatchSpec, extract_patch
from app.imaging.planes import PointVx
from app.imaging.volume import CTVolume
from training.data.scans import Scan
from training.second_look.config import LesionConfig, MiningConfig

LESION_STEPS: Final = (-0.25, 0.0, 0.25)  # of a lesion's diameter along the normal: sections through its middle half

Ask = Callable[[NDArray[np.float32]], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class FalseFinding:
    """A (column, row, slice) point far from everything known, how coarse it is seen and the filter's logit."""

    point: PointVx
    zoom: float
    filter_score: float


def false_in_scan(scan: Scan, mining: MiningConfig, ask: Ask, spec: PatchSpec) -> tuple[FalseFinding, ...]:
    """The false findings of every slice; the same every time."""
    found = []
    for index in range(len(scan.volume)):
        ct_slice = scan.volume.slice_at(index)
        candidates = [
            c
            for c in find_candidates(ct_slice, segment_lungs(ct_slice))
            if scan.clearance_mm((*c.centre_px, float(index))) >= mining.clearance_mm
        ]
        found += [
            FalseFinding((*candidates[k].centre_px, float(index)), candidates[k].zoom, score)
            for k, score in likely(ct_slice, candidates, mining, ask, spec)
        ]
    return tuple(found)


def likely(
    ct_slice: CTSlice, candidates: Sequence[Candidate], mining: MiningConfig, ask: Ask, spec: PatchSpec
) -> list[tuple[int, float]]:
    """Numbers and filter logits of the candidates that the filter scores highest and of some others."""
    if not candidates:
        return []
    specs = [PatchSpec(spec.size_px, spec.spacing_mm * c.zoom) for c in candidates]
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
