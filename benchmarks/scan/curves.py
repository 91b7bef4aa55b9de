"""Sensitivity on planted slices against the share of slices without lesion that are called suspected."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.scan.answers import Frozen
from benchmarks.scan.networks import LOWEST
from benchmarks.scan.planted_slices import PlantedSlices, SlicePlanting

RATES: Final = (0.0, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2)
WANTED_RATE: Final = 0.05
SUSPICIOUS: Final = 3.5  # median rating from which readers suspect it
SOLID: Final = 4.0  # mean texture rating

Floats = NDArray[np.float64]
Selection = Callable[[SlicePlanting], bool]


class CurvePoint(Frozen):
    """At one score for all scans: the share of slices without lesion above it, and of each kind of planting."""

    rate: float
    score: float
    false_alarms: float
    sensitivity: dict[str, float]


class ByOthers(Frozen):
    """A scan at the score which the other scans choose for WANTED_RATE."""

    scan: str
    score: float
    false_alarms: float
    slices: int
    sensitivity: float
    plantings: int


def is_target(planting: SlicePlanting) -> bool:
    """Suspicious and solid, of 6 mm and more, as it was scanned."""
    suspicious = planting.median_rating >= SUSPICIOUS and planting.texture >= SOLID
    return planting.kind == "nodule" and suspicious and planting.diameter_mm >= 6


KINDS: Final[dict[str, Selection]] = {
    "suspicious solid, 6 mm and more": is_target,
    "suspicious, 6 mm and more": lambda p: p.kind == "nodule" and p.median_rating >= SUSPICIOUS and p.diameter_mm >= 6,
    "benign": lambda p: p.kind == "nodule" and p.median_rating < 3,
    "masses": lambda p: p.kind == "mass",
}


def curve(scans: Sequence[PlantedSlices]) -> tuple[CurvePoint, ...]:
    """One point for each of RATES."""
    background = np.concatenate([_background(scan) for scan in scans])
    plantings = [p for scan in scans for p in scan.plantings]
    return tuple(_point(rate, score_at(background, rate), background, plantings) for rate in RATES)


def by_others(scans: Sequence[PlantedSlices]) -> tuple[ByOthers, ...]:
    """Each scan at the others' score: what a point chosen on scans says of one that did not choose it."""
    return tuple(_by_others(scan, [other for other in scans if other is not scan]) for scan in scans)


def score_at(background: Floats, rate: float) -> float:
    """The lowest score that at most this share of slices reaches or exceeds."""
    falling = -np.sort(-background)
    allowed = math.floor(rate * len(falling))
    return float(np.nextafter(falling[allowed], np.inf)) if allowed < len(falling) else float(falling[-1])


def _by_others(scan: PlantedSlices, others: Sequence[PlantedSlices]) -> ByOthers:
    score = score_at(np.concatenate([_background(other) for other in others]), WANTED_RATE)
    own, wanted = _background(scan), [p for p in scan.plantings if is_target(p)]
    return ByOthers(
        scan=scan.scan,
        score=round(score, 2),
        false_alarms=float((own >= score).mean()),
        slices=len(own),
        sensitivity=_found(wanted, score),
        plantings=len(wanted),
    )


def _point(rate: float, score: float, background: Floats, plantings: Sequence[SlicePlanting]) -> CurvePoint:
    return CurvePoint(
        rate=rate,
        score=round(score, 2),
        false_alarms=float((background >= score).mean()),
        sensitivity={kind: _found([p for p in plantings if KINDS[kind](p)], score) for kind in KINDS},
    )


def _found(plantings: Sequence[SlicePlanting], score: float) -> float:
    reached = [p.open_score is not None and p.open_score >= score for p in plantings]
    return float(np.mean(reached)) if reached else 0.0


def _background(scan: PlantedSlices) -> Floats:
    return np.array([LOWEST if score is None else score for score in scan.background])
