"""Contact sheets of what the search misses and of what it shows in vain, for looking at: they show the data itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.planted_scans import PlantedScan
from benchmarks.readers import Cascade, arm_of

TILE_PX: Final = 144
COLUMNS: Final = 10
WINDOW_HU: Final = (-1200.0, 400.0)
MOST_FALSE: Final = 100
YELLOW: Final = (0, 255, 255)  # blue, green, red

Tile = NDArray[np.uint8]


def draw_pictures(
    folder: Path, planted: Sequence[PlantedScan], cascades: Sequence[Cascade], wanted: Sequence[bool], rate: float
) -> None:
    """Write `missed-<scan>.png` and `false-<scan>.png` into `folder`, at `rate` false positives per slice.

    `wanted` says for the plantings of all scans, in order, which of them count. Missed are drawn with their diameter in
    mm and false ones with their slice, both with the distance from the threshold, the worst first.
    """
    folder.mkdir(parents=True, exist_ok=True)
    counted = iter(wanted)
    for scan, cascade in zip(planted, cascades, strict=True):
        arm = arm_of(scan, cascade)
        threshold = arm.background.threshold(rate)
        chosen = [next(counted) for _ in scan.plantings]
        margins = {k: float(s) - threshold for k, s in enumerate(arm.scores) if chosen[k] and s < threshold}
        missed = sorted(margins, key=lambda k: margins[k])
        pictures = [
            _tile(scan.plantings[k].view, f"{scan.plantings[k].nodule.diameter_mm:.0f}mm {margins[k]:.1f}")
            for k in missed
        ]
        _write(folder / f"missed-{scan.scan.name}.png", pictures)
        _write(folder / f"false-{scan.scan.name}.png", _false(scan, cascade, threshold))


def _false(scan: PlantedScan, cascade: Cascade, threshold: float) -> list[Tile]:
    found: list[tuple[float, int, NDArray[np.float32]]] = []
    for number, slice_found in enumerate(scan.false):
        numbers, scores = cascade(slice_found)
        patches = slice_found.patches[cascade.classifier.spec]
        found += [(float(s), number, patches[k]) for k, s in zip(numbers.tolist(), scores, strict=True)]
    found.sort(key=lambda entry: -entry[0])
    return [_tile(hu, f"{number} {score - threshold:+.1f}") for score, number, hu in found[:MOST_FALSE]]


def _tile(hu: NDArray[np.float32], text: str) -> Tile:
    low, high = WINDOW_HU
    grey = np.clip((hu - low) / (high - low) * 255, 0, 255).astype(np.uint8)
    tile = cv2.cvtColor(cv2.resize(grey, (TILE_PX, TILE_PX)), cv2.COLOR_GRAY2BGR)
    cv2.putText(tile, text, (2, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.4, YELLOW)
    return np.asarray(tile, np.uint8)


def _write(path: Path, tiles: Sequence[Tile]) -> None:
    blank = np.zeros((TILE_PX, TILE_PX, 3), np.uint8)
    filled = [*tiles, *[blank] * (-len(tiles) % COLUMNS)] or [blank]
    rows = [np.hstack(filled[k : k + COLUMNS]) for k in range(0, len(filled), COLUMNS)]
    path.write_bytes(cv2.imencode(".png", np.vstack(rows))[1].tobytes())
