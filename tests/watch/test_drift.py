"""Drift on a simulated year of 10,000 cases, and live figures of it: arithmetic, and the store that the service has."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import pytest

from app.watch.drift import (
    MIN_PSI,
    REFERENCE_COUNT,
    REFERENCE_DAYS,
    WINDOW_COUNT,
    Drift,
    compared,
    drift_of,
    reference_in,
)
from app.watch.ledger import Ledger
from app.watch.noted import Noted
from app.watch.performance import findings_agreement
from app.watch.sketch import FEATURES, Histogram, groups_of

CASES: Final = 10_000
DAYS: Final = 365
MONTH_7: Final = 181  # the day on which it begins
MOST_DELAY_DAYS: Final = 21  # docs/watch.md: the days of a whole window at this rate, and some
HEARD: Final = 500  # verdicts of the year
OPERATING_POINT: Final = 0.3
AFFECTED: Final = ("pixel_spacing_mm", "noise_hu", "probability")
Year = dict[str, dict[int, Histogram]]


def cases_of_year(seed: int, *, drifting: bool) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The day and the features of each case. Two scanners: in month 7 the second takes over most, whose pixels are
    larger and whose kernel is sharper; and more suspicious nodules are referred."""
    rng = np.random.default_rng(seed)
    day = np.sort(rng.integers(0, DAYS, CASES))
    after = (day >= MONTH_7) & drifting
    second = rng.random(CASES) < np.where(after, 0.7, 0.3)
    values = {
        "pixel_spacing_mm": np.where(second, 0.78, 0.68) + rng.normal(0, 0.05, CASES),
        "slice_spacing_mm": rng.choice([1.0, 1.25, 2.5], CASES, p=[0.3, 0.6, 0.1]),
        "soft_tissue_hu": rng.normal(40, 12, CASES),
        "noise_hu": np.exp(rng.normal(np.log(np.where(second, 24, 15)), 0.4, CASES)),
        "diameter_mm": np.exp(rng.normal(2.1, 0.5, CASES)),
        "probability": rng.beta(np.where(after, 1.2, 0.7), 2, CASES),
        "decision": rng.choice(4, CASES, p=[0.2, 0.45, 0.3, 0.05]),
        "reason": rng.choice(17, CASES, p=[0.65, 0.25, *[0.1 / 15] * 15]),
    }
    return day, values


def counted(day: np.ndarray, values: dict[str, np.ndarray]) -> Year:
    """The histograms of each day."""
    year: Year = {}
    for name, numbers in values.items():
        feature = FEATURES[name]
        bins = numbers if feature.codes else np.searchsorted(feature.edges, numbers, "right")
        table = np.zeros((DAYS, feature.bins), np.int64)
        np.add.at(table, (day, bins.astype(int)), 1)
        year[name] = {n: row for n, row in enumerate(table) if row.any()}
    return year


def states_of(name: str, days: dict[int, Histogram], looks: range) -> dict[int, Drift]:
    """What is said of a feature on each of some days, knowing nothing of those to come."""
    found: dict[int, Drift] = {}
    reference = None
    for today in looks:
        seen = {day: counts for day, counts in days.items() if day < today}
        reference = reference or reference_in(seen, today)
        found[today] = drift_of(FEATURES[name], reference, seen, today)
    return found


@pytest.mark.parametrize("seed", range(4))
def test_a_drift_in_month_7_is_told_in_time_and_nothing_before(seed: int) -> None:
    year = counted(*cases_of_year(seed, drifting=True))
    for name in AFFECTED:
        states = states_of(name, year[name], range(60, MONTH_7 + MOST_DELAY_DAYS + 1, 3))
        told = [today for today, drift in states.items() if drift.state == "drifted"]
        assert told, name
        assert MONTH_7 < told[0] <= MONTH_7 + MOST_DELAY_DAYS, name
        assert states[MONTH_7 - 1 - (MONTH_7 - 1 - 60) % 3].state == "steady", name
    for name in set(FEATURES) - set(AFFECTED):
        states = states_of(name, year[name], range(60, DAYS + 1, 20))
        assert {drift.state for drift in states.values()} == {"steady"}, name


@pytest.mark.parametrize("seed", range(4))
def test_a_year_in_which_nothing_changes_has_no_alarm(seed: int) -> None:
    """Docs say at most one a year; the bounds are meant for far fewer."""
    year = counted(*cases_of_year(100 + seed, drifting=False))
    alarms = {
        (name, today)
        for name, days in year.items()
        for today, drift in states_of(name, days, range(60, DAYS + 1, 5)).items()
        if drift.state == "drifted"
    }
    assert not alarms


def test_the_live_auc_of_the_year_has_the_true_one_in_its_interval(tmp_path: Path) -> None:
    """Through the store: of some cases a verdict comes, and each is malignant as often as its probability says."""
    day, values = cases_of_year(1, drifting=True)
    probability = values["probability"]
    rng = np.random.default_rng(2)
    truth = rng.random(CASES) < probability
    ledger = Ledger(tmp_path / "feedback.sqlite3")
    for week in range(0, DAYS, 7):
        own = np.flatnonzero((day >= week) & (day < week + 7)).tolist()
        ledger.note([judged(n, float(probability[n])) for n in own], {}, day=week)
    for n in rng.choice(CASES, HEARD, replace=False).tolist():
        ledger.hear(f"{n}", "pathology", "malignant" if truth[n] else "benign", day=DAYS)
    found = findings_agreement(ledger.cases("sha256:a"), ledger.judged("sha256:a")["finding"])
    true_auc = true_auc_of(truth, probability)
    assert (found.judged, sum(found.verdicts.values())) == (CASES, HEARD)
    for figure, true in (
        (found.auc, true_auc),
        (found.observed_to_expected, 1.0),
        (found.sensitivity, float((probability[truth] >= OPERATING_POINT).mean())),
        (found.specificity, float((probability[~truth] < OPERATING_POINT).mean())),
    ):
        assert figure is not None
        assert figure.low <= true <= figure.high
        assert figure.high - figure.low < 0.3


def judged(number: int, probability: float) -> Noted:
    called = probability >= OPERATING_POINT
    return Noted("finding", f"{number}", (), "sha256:a", probability, called, "")


def true_auc_of(truth: np.ndarray, probability: np.ndarray) -> float:
    ranks = np.argsort(np.argsort(probability)) + 1
    ones = int(truth.sum())
    return float((ranks[truth].sum() - ones * (ones + 1) / 2) / (ones * (len(truth) - ones)))


def test_the_reference_is_of_whole_days_that_are_over() -> None:
    feature = FEATURES["decision"]
    day = np.array([100, 0, 0, 0])
    days = dict.fromkeys(range(3, 30), day)
    assert reference_in(days, 3 + REFERENCE_DAYS - 1) is None  # enough values, too few days
    reference = reference_in(days, 3 + REFERENCE_DAYS)
    assert reference is not None
    assert (reference.until, int(reference.counts.sum())) == (3 + REFERENCE_DAYS - 1, 100 * REFERENCE_DAYS)
    few = dict.fromkeys(range(3, 30), day // 100)
    assert reference_in(few, 400) is None
    assert drift_of(feature, None, few, 400) == Drift(feature, "gathering", 27)


def test_a_window_has_a_week_and_enough_values_or_nothing_is_said() -> None:
    feature = FEATURES["decision"]
    before, after = np.array([900, 100, 0, 0]), np.array([100, 900, 0, 0])
    days = dict.fromkeys(range(20), before) | {20: after}
    reference = reference_in(days, 20)
    assert reference is not None
    # One odd day of a fast service is one of seven.
    assert drift_of(feature, reference, days, 20).window == 7 * 1000
    slow = dict.fromkeys(range(14), before) | dict.fromkeys(range(14, 200), before // 100)
    assert drift_of(feature, reference_in(slow, 200), slow, 30).state == "gathering"
    found = drift_of(feature, reference_in(slow, 200), slow, 100)
    assert (found.window, found.state) == (WINDOW_COUNT, "steady")


@pytest.mark.parametrize(
    ("before", "now", "drifts"),
    [
        ([1000, 0, 0, 0], [500, 0, 0, 0], False),
        ([1000, 0, 0, 0], [0, 500, 0, 0], True),  # all of it in one bin, before and after
        ([0, 0, 1000, 0], [200, 0, 300, 0], True),  # where there never was one
        ([250, 250, 250, 250], [125, 125, 125, 125], False),
        ([250, 250, 250, 250], [300, 75, 75, 50], True),
        ([990, 10, 0, 0], [490, 10, 0, 0], False),  # a rare one twice as often
    ],
)
def test_the_index_sees_a_change_wherever_it_is(before: list[int], now: list[int], *, drifts: bool) -> None:
    feature = FEATURES["decision"]
    one, other = np.array(before), np.array(now)
    psi, bound = compared(one, other, groups_of(one, feature))
    assert (psi >= bound) == drifts
    assert bound >= MIN_PSI


def test_bins_of_numbers_are_grouped_so_that_none_hides() -> None:
    feature = FEATURES["slice_spacing_mm"]
    counts = np.zeros(feature.bins, np.int64)
    counts[10] = REFERENCE_COUNT
    groups = groups_of(counts, feature).tolist()
    assert (groups[9], groups[10], groups[11]) == (0, 1, 2)
    even = groups_of(np.full(feature.bins, 100), feature).tolist()
    assert even == sorted(even)
    assert 9 <= len(set(even)) <= 11
