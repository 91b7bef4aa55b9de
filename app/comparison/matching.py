"""Which nodules of two scans are the same: those that lie at one place once the lungs lie over each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from app.imaging.ct import PointMm

MAX_APART_MM: Final = 15.0  # what a breath moves a nodule beside the lungs as a whole; more only at the diaphragm


@dataclass(frozen=True, slots=True)
class Match:
    """Places in two lists that belong together, and how far apart they lie. `others` is how many more of either list
    lie as near, so that another partner is not excluded."""

    current: int
    prior: int
    apart_mm: float
    others: int


def matches(current_mm: Sequence[PointMm], prior_mm: Sequence[PointMm]) -> list[Match]:
    """Pairs of places no more than MAX_APART_MM apart, each place in one pair at most, and all pairs as near as can be.

    Both are in the coordinates of the current scan.
    """
    # Imports SciPy's optimisers: for those who compare.
    from scipy.optimize import linear_sum_assignment

    if not current_mm or not prior_mm:
        return []
    gaps_mm = np.linalg.norm(np.array(current_mm)[:, None] - np.array(prior_mm)[None], axis=2)
    near = gaps_mm <= MAX_APART_MM
    # What is too far apart costs as much as no pair at all.
    rows, columns = linear_sum_assignment(np.minimum(gaps_mm, MAX_APART_MM))
    return [
        Match(int(row), int(column), float(gaps_mm[row, column]), int(near[row].sum() + near[:, column].sum()) - 2)
        for row, column in zip(rows, columns, strict=True)
        if near[row, column]
    ]
