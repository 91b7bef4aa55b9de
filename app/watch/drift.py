"""Whether a feature's values of late are distributed as in the reference: the first weeks with the same model.

The measure is the population stability index (PSI) on groups of bins. Where nothing has changed it is about the chi
square of the groups times the sum of the two inverse numbers of values (Yurdakul 2018). So there are two bounds: one
that chance does not pass, and one below which a change is too small to matter.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from app.watch.sketch import Feature, Histogram, groups_of

REFERENCE_COUNT: Final = 1000
REFERENCE_DAYS: Final = 14
WINDOW_COUNT: Final = 500
WINDOW_DAYS: Final = 7  # a week has all its days: few clinics are alike on Mondays and Sundays
# A year of 10,000 cases has some 20 windows that are independent, of 8 features; looked at daily they are like five
# times as many: 800 looks, of which 0.008 pass by chance.
BY_CHANCE: Final = 1e-5
MAX_WINDOW_DAYS: Final = 92  # who has not enough values in a quarter of a year cannot be told of a change in time
MIN_PSI: Final = 0.1  # below it the usage of the index calls a change insignificant (Siddiqi 2006)
HALF: Final = 0.5  # added to each count: an empty group must not be infinitely far

Days = Mapping[int, Histogram]  # the histogram of each day (since 1970) that has one
State = Literal["gathering", "steady", "drifted"]


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """What a feature's values are compared with, and its last day (since 1970)."""

    until: int
    counts: Histogram


@dataclass(frozen=True, slots=True)
class Drift:
    """Where a feature stands: how many values reference and window hold, the `psi` between them, and the `bound` from
    which the feature has drifted; both None while values are gathered."""

    feature: Feature
    state: State
    reference: int
    window: int = 0
    psi: float | None = None
    bound: float | None = None


def reference_in(days: Days, today: int) -> Reference | None:
    """The reference from the first days, as soon as enough of them are over with enough values; None before."""
    gathered = np.zeros(0, np.int64)
    for day in sorted(day for day in days if day < today):
        gathered = days[day] + gathered if gathered.size else days[day]
        if day - min(days) + 1 >= REFERENCE_DAYS and gathered.sum() >= REFERENCE_COUNT:
            return Reference(day, gathered)
    return None


def drift_of(feature: Feature, reference: Reference | None, days: Days, today: int) -> Drift:
    """Where a feature stands, from its histograms of days."""
    if reference is None:
        return Drift(feature, "gathering", sum(int(day.sum()) for day in days.values()))
    before, now, size = reference.counts, np.zeros_like(reference.counts), 0
    for day in range(today, max(reference.until, today - MAX_WINDOW_DAYS), -1):
        if today - day >= WINDOW_DAYS and size >= WINDOW_COUNT:
            break
        if day in days:
            now, size = now + days[day], size + int(days[day].sum())
    if size < WINDOW_COUNT or today - reference.until < WINDOW_DAYS:
        return Drift(feature, "gathering", int(before.sum()), size)
    psi, bound = compared(before, now, groups_of(before, feature))
    return Drift(feature, "drifted" if psi >= bound else "steady", int(before.sum()), size, psi, bound)


def compared(before: Histogram, now: Histogram, groups: NDArray[np.intp]) -> tuple[float, float]:
    """The PSI of two histograms by groups of bins, and the bound from which it says something."""
    count = int(groups.max()) + 1
    one, other = (np.bincount(groups, each, count) + HALF for each in (before, now))
    p, q = one / one.sum(), other / other.sum()
    psi = float(((q - p) * np.log(q / p)).sum())
    by_chance = _chi_square(max(1, count - 1)) * (1 / float(before.sum()) + 1 / float(now.sum()))
    return psi, max(MIN_PSI, by_chance)


def _chi_square(freedom: int) -> float:
    """The quantile that chance passes once in 1 / BY_CHANCE times (Wilson and Hilferty 1931)."""
    z, part = NormalDist().inv_cdf(1 - BY_CHANCE), 2 / (9 * freedom)
    return freedom * (1 - part + z * math.sqrt(part)) ** 3
