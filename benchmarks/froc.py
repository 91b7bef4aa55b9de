"""Free-response ROC: sensitivity against false positives per slice, with bootstrap intervals (Bandos et al. 2009)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.inference.bundle import Interval

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

RATES: Final = (1 / 8, 1 / 4, 1 / 2, 1.0, 1.5, 2.0, 4.0, 8.0)  # per slice; 1.5 is where the least is stated
BLOCK_SLICES: Final = 8  # neighbouring slices show the same vessels: they are resampled together
RESAMPLES: Final = 1000
PERCENT: Final = (2.5, 97.5)
SEED: Final = 20261123


@dataclass(frozen=True, slots=True, eq=False)
class Background:
    """The scores of the false candidates of each slice with lung, in order, and resamples of whole blocks of slices.

    `resampled` holds one row for each resample: the thresholds at RATES. The first is of the slices as they are.
    """

    scores: tuple[Floats, ...]
    resampled: Floats = field(init=False)

    def __post_init__(self) -> None:
        if not self.scores:
            raise ValueError("no slice to count false positives on")
        rng = np.random.default_rng(SEED)
        blocks = [self.scores[s : s + BLOCK_SLICES] for s in range(0, len(self.scores), BLOCK_SLICES)]
        rows = [_thresholds(self.scores)]
        for _ in range(RESAMPLES):
            drawn = [scores for k in rng.integers(len(blocks), size=len(blocks)) for scores in blocks[k]]
            rows.append(_thresholds(drawn))
        object.__setattr__(self, "resampled", np.array(rows))

    def threshold(self, rate: float) -> float:
        """The score above which lie at most `rate` (one of RATES) false candidates per slice."""
        return float(self.resampled[0, RATES.index(rate)])

    def counts(self, threshold: float) -> Floats:
        """False candidates at or above a score on each slice."""
        return np.array([(s >= threshold).sum() for s in self.scores], np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class Arm:
    """One filter on one scan: `scores` (N,) the best of each lesion, -inf without a candidate, `owners` its patient."""

    scores: Floats
    owners: NDArray[np.str_]
    background: Background


def sensitivities(arms: Sequence[Arm], chosen: Sequence[Flags]) -> dict[float, Interval]:
    """Pooled sensitivity of the `chosen` lesions of each arm where each arm's own scan shows each of RATES.

    Resamples draw whole patients and whole blocks of slices, so that the threshold's uncertainty counts too.
    """
    rows = [arm.background.resampled for arm in arms]
    table = _pooled(arms, chosen, rows)
    low, high = np.percentile(table[1:], PERCENT, axis=0)
    return {
        rate: Interval(value=float(v), low=float(a), high=float(b))
        for rate, v, a, b in zip(RATES, table[0], low, high, strict=True)
    }


def shown(arms: Sequence[Arm], chosen: Sequence[Flags], threshold: float) -> tuple[Interval, Interval]:
    """Sensitivity and false candidates per slice at one score for all arms."""
    fixed = np.full((RESAMPLES + 1, 1), threshold)
    hits = _pooled(arms, chosen, [fixed] * len(arms))[:, 0]
    counts = np.concatenate([arm.background.counts(threshold) for arm in arms])
    starts = np.arange(0, len(counts), BLOCK_SLICES)
    totals, sizes = np.add.reduceat(counts, starts), np.diff(np.append(starts, len(counts)))
    drawn = np.random.default_rng(SEED).integers(len(starts), size=(RESAMPLES, len(starts)))
    rates = totals[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    return _interval(float(hits[0]), hits[1:]), _interval(float(counts.mean()), rates)


def _pooled(arms: Sequence[Arm], chosen: Sequence[Flags], thresholds: Sequence[Floats]) -> Floats:
    """(1 + RESAMPLES, columns) sensitivities: row 0 of the lesions as they are, then of resampled patients."""
    rng = np.random.default_rng(SEED)
    found, every = np.zeros(thresholds[0].shape), np.zeros(len(thresholds[0]))
    for arm, flags, rows in zip(arms, chosen, thresholds, strict=True):
        scores = arm.scores[flags]
        names, owner = np.unique(arm.owners[flags], return_inverse=True)
        if not len(names):
            continue
        for k, row in enumerate(rows):
            drawn = rng.integers(len(names), size=len(names)) if k else np.arange(len(names))
            times = np.bincount(drawn, minlength=len(names))[owner]
            found[k] += times @ (scores[:, None] >= row)
            every[k] += times.sum()
    return np.asarray(found / every[:, None], np.float64)


def _thresholds(falses: Sequence[Floats]) -> list[float]:
    """At each of RATES, just above the first false score, in falling order, that is one too many."""
    falling = -np.sort(-np.concatenate(falses))
    allowed = [int(rate * len(falses)) for rate in RATES]
    # Finite where all false candidates may be shown: a lesion without a candidate stays missed.
    least = -float(np.finfo(np.float64).max)
    return [float(np.nextafter(falling[k], np.inf)) if k < len(falling) else least for k in allowed]


def _interval(value: float, resampled: Floats) -> Interval:
    low, high = np.percentile(resampled, PERCENT)
    return Interval(value=value, low=float(low), high=float(high))
