"""Figures of merit on numpy arrays, and patient-bootstrap intervals around them. No network in here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from app.inference.bundle import Interval

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Indices = NDArray[np.intp]
Metric = Callable[[Indices], float]
INTERVAL_PERCENT = (2.5, 97.5)


class Undefined(ValueError):
    """A figure that these nodules do not define: a class, all pairs or all decisions are missing."""


def auc(positive: Flags, score: Floats) -> float:
    """Area under the ROC curve (Mann-Whitney, ties count half); nan when a class is missing."""
    count = int(positive.sum())
    others = len(positive) - count
    if not count or not others:
        return float("nan")
    ranks = rankdata(score)
    return float((ranks[positive].sum() - count * (count + 1) / 2) / (count * others))


def average_precision(positive: Flags, score: Floats) -> float:
    """Area under precision and recall, as the sum of precision x step in recall (no interpolation); nan without
    positives. Equal scores are one step."""
    count = int(positive.sum())
    if not count:
        return float("nan")
    order = np.argsort(-score, kind="stable")
    found, ends = np.cumsum(positive[order]), np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
    return float(np.sum(np.diff(found[ends], prepend=0) / count * found[ends] / (ends + 1)))


def size_matched_auc(positive: Flags, score: Floats, diameter_mm: Floats, within_mm: float) -> float:
    """AUC over the (positive, negative) pairs whose diameters differ by at most `within_mm`; nan without pairs."""
    return LikeSizePairs(positive, score, diameter_mm, within_mm)(np.arange(len(positive)))


class LikeSizePairs:
    """`size_matched_auc` as a Metric.

    A resample is how often each entry was drawn: the pairs are compared once, not once a resample, which over 1,000
    resamples of readers' pairs takes seconds where it took minutes.
    """

    def __init__(self, positive: Flags, score: Floats, diameter_mm: Floats, within_mm: float) -> None:
        self._positive, self._negative = np.flatnonzero(positive), np.flatnonzero(~positive)
        near = np.abs(diameter_mm[self._positive][:, None] - diameter_mm[self._negative]) <= within_mm
        difference = score[self._positive][:, None] - score[self._negative]
        self._near = near.astype(np.float32)
        self._won = (near * ((difference > 0) + 0.5 * (difference == 0))).astype(np.float32)

    def __call__(self, i: Indices) -> float:
        drawn = np.bincount(i, minlength=len(self._positive) + len(self._negative)).astype(np.float32)
        positive, negative = drawn[self._positive], drawn[self._negative].astype(np.float64)
        pairs = float((positive @ self._near) @ negative)
        return float((positive @ self._won) @ negative) / pairs if pairs else float("nan")


def sensitivity(positive: Flags, called: Flags) -> float:
    """Fraction of the positives that were called."""
    return share(called[positive])


def share(flags: Flags) -> float:
    """Fraction of true values; nan when there is none to count."""
    return float(flags.mean()) if len(flags) else float("nan")


def specificity(positive: Flags, called: Flags) -> float:
    """Fraction of the negatives that were not called."""
    return share(~called[~positive])


def brier(positive: Flags, probability: Floats) -> float:
    """Mean squared difference between probability and outcome."""
    return float(np.mean((probability - positive) ** 2))


def expected_calibration_error(positive: Flags, probability: Floats, bins: int) -> float:
    """Mean |observed - predicted| over equal-width probability bins, weighted by their counts (Guo et al. 2017)."""
    place = np.minimum((probability * bins).astype(int), bins - 1)
    gaps = np.bincount(place, positive - probability, bins)
    return float(np.abs(gaps).sum() / len(probability))


def dice(one: Flags, other: Flags) -> Floats:
    """Dice overlap (N,) of bool (N, rows, columns) masks; 1 where both are empty."""
    overlap = (one & other).sum(axis=(1, 2))
    total = one.sum(axis=(1, 2)) + other.sum(axis=(1, 2))
    return np.where(total > 0, 2 * overlap / np.maximum(total, 1), 1.0)


def diameter_mm(masks: Flags, spacing_mm: float) -> Floats:
    """Diameter (N,) in mm of the circle with each mask's area."""
    return np.asarray(2 * np.sqrt(masks.sum(axis=(1, 2)) / np.pi) * spacing_mm, np.float64)


def mean(values: Floats) -> float:
    """Mean of the finite values; nan when there is none."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")


def spearman(one: Floats, other: Floats) -> float:
    """Rank correlation of the pairs that are both known; nan when one side is constant."""
    known = np.isfinite(one) & np.isfinite(other)
    one, other = one[known], other[known]
    if len(one) < 2 or np.ptp(one) == 0 or np.ptp(other) == 0:
        return float("nan")
    return float(np.corrcoef(rankdata(one), rankdata(other))[0, 1])


def bootstrap(metric: Metric, patients: Sequence[str], resamples: int, seed: int) -> Interval:
    """`metric` of all indices, with the 95 % interval over resamples of whole patients.

    Raises Undefined when the metric is undefined on all of them.
    """
    found = bootstrap_all({"": metric}, patients, resamples, seed)
    if not found:
        raise Undefined("this figure is undefined on these nodules: a class, all pairs or all decisions are missing")
    return found[""]


def bootstrap_all(
    table: Mapping[str, Metric], patients: Sequence[str], resamples: int, seed: int
) -> dict[str, Interval]:
    """Each metric of all indices with its 95 % interval over the same resamples of whole patients.

    One that is undefined is left out rather than invented; resamples that lack a class do not count.
    """
    if not patients:
        return {}
    _, owner = np.unique(np.asarray(patients), return_inverse=True)
    members = np.split(np.argsort(owner, kind="stable"), np.cumsum(np.bincount(owner))[:-1])
    rng, everything = np.random.default_rng(seed), np.arange(len(owner))
    values = {name: value for name, metric in table.items() if np.isfinite(value := metric(everything))}
    drawn: dict[str, list[float]] = {name: [] for name in values}
    for _ in range(resamples):
        chosen = np.concatenate([members[k] for k in rng.integers(len(members), size=len(members))])
        for name in values:
            drawn[name].append(table[name](chosen))
    measured = {}
    for name, value in values.items():
        if np.isfinite(drawn[name]).any():
            low, high = np.nanpercentile(drawn[name], INTERVAL_PERCENT)
            measured[name] = Interval(value=value, low=float(low), high=float(high))
    return measured
