"""Contact sheets of what is shown in vain and of what is missed, for looking at: they show the data itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from app.imaging.ct import CTSlice, PointPx
from app.imaging.patches import PatchSpec, extract_patch
from app.inference.prediction import Finding

VIEW: Final = PatchSpec(200, 0.5)  # 100 mm: a hilum with what it belongs to
MARK_PX: Final = 12
COLUMNS: Final = 7
WINDOW_HU: Final = (-1200.0, 400.0)
YELLOW: Final = (0, 255, 255)  # blue, green, red

Tile = NDArray[np.uint8]


@dataclass(slots=True)
class Sheet:
    """Tiles of one part of the benchmark, in the order in which they came."""

    name: str
    false_tiles: list[Tile] = field(default_factory=list)
    missed_tiles: list[Tile] = field(default_factory=list)

    def false(self, title: str, ct_slice: CTSlice, findings: Sequence[Finding]) -> None:
        """Add findings on nothing, with their probabilities."""
        for finding in findings:
            text = f"{title} p {finding.probability or 0:.2f} s {finding.suspicion_score or 0:.1f}"
            self.false_tiles.append(_tile(ct_slice, finding.center_px, text))

    def missed(self, title: str, ct_slice: CTSlice, point_px: PointPx) -> None:
        """Add a (column, row) place where something should have been said."""
        self.missed_tiles.append(_tile(ct_slice, point_px, title))

    def write(self, folder: Path) -> None:
        """Write `<name>-false.png` and `<name>-missed.png`, each where there is a tile."""
        folder.mkdir(parents=True, exist_ok=True)
        for kind, tiles in (("false", self.false_tiles), ("missed", self.missed_tiles)):
            path = folder / f"{self.name}-{kind}.png"
            path.unlink(missing_ok=True)
            if tiles:
                path.write_bytes(_encoded(tiles))


def _tile(ct_slice: CTSlice, point_px: PointPx, text: str) -> Tile:
    hu = extract_patch(ct_slice, point_px, VIEW).hu
    low, high = WINDOW_HU
    grey = np.clip((hu - low) / (high - low) * 255, 0, 255).astype(np.uint8)
    tile = cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)
    middle = VIEW.size_px // 2
    for side in (-1, 1):
        cv2.line(tile, (middle + side * MARK_PX, middle), (middle + side * 2 * MARK_PX, middle), YELLOW)
    cv2.putText(tile, text, (2, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.38, YELLOW)
    return np.asarray(tile, np.uint8)


def _encoded(tiles: Sequence[Tile]) -> bytes:
    blank = np.zeros((VIEW.size_px, VIEW.size_px, 3), np.uint8)
    filled = [*tiles, *[blank] * (-len(tiles) % COLUMNS)]
    rows = [np.hstack(filled[k : k + COLUMNS]) for k in range(0, len(filled), COLUMNS)]
    return cv2.imencode(".png", np.vstack(rows))[1].tobytes()
