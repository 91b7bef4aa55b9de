"""Contact sheets of what the second look gets wrong: both fields of each finding, its score beside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from app.inference.suspicion import ScoreRule
from benchmarks.look_cases import Fields, Looks, Passed
from training.second_look.config import LookConfig
from training.second_look.report import LookResults

if TYPE_CHECKING:
    from benchmarks.second_look import Cases

WINDOW_HU: Final = (-1000.0, 400.0)
SIDE_PX: Final = 144
COLUMNS: Final = 6

Picture = NDArray[np.uint8]


def draw_pictures(
    folder: Path, cases: Cases, looks: Mapping[str, Looks], results: LookResults, config: LookConfig
) -> None:
    """Write `<scan>-false.png` and `<scan>-missed.png`: suspected slices' findings, and nodules that are not."""
    folder.mkdir(parents=True, exist_ok=True)
    for case in cases.slices:
        look, limit = looks[config.tester(case.name)], results.slice_point.suspected_from
        false = [_top(found, look, results.rule) for found in case.false]
        missed = [_top(p.found, look, results.rule) for p in (*case.plantings, *case.native)]
        shown = sorted((t for t in false if t is not None and t[0] >= limit), key=lambda t: -t[0])
        lost = sorted((t for t in missed if t is not None and t[0] < limit), key=lambda t: -t[0])
        _sheet(folder / f"{case.name}-false.png", shown)
        _sheet(folder / f"{case.name}-missed.png", lost)


def _top(found: Passed, look: Looks, rule: ScoreRule) -> tuple[float, Fields] | None:
    if not len(found.logits):
        return None
    scores = rule.score(*look(found.fields), found.logits)
    at = int(np.argmax(scores))
    return float(scores[at]), found.fields[at]


def _sheet(path: Path, found: list[tuple[float, Fields]]) -> None:
    tiles = [_tile(score, fields) for score, fields in found]
    tiles += [np.zeros((SIDE_PX, 2 * SIDE_PX), np.uint8)] * (-len(tiles) % COLUMNS)
    rows = [np.concatenate(tiles[k : k + COLUMNS], axis=1) for k in range(0, len(tiles), COLUMNS)]
    if rows:
        cv2.imwrite(str(path), np.concatenate(rows))


def _tile(score: float, fields: Fields) -> Picture:
    low, high = WINDOW_HU
    both = np.concatenate([fields[..., 0], fields[..., 1]], axis=1)
    grey = (np.clip((both - low) / (high - low), 0, 1) * 255).astype(np.uint8)
    large = np.asarray(cv2.resize(grey, (2 * SIDE_PX, SIDE_PX), interpolation=cv2.INTER_CUBIC), np.uint8)
    cv2.putText(large, f"{score:.1f}", (3, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.4, 255)
    return large
