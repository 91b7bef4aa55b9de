"""Points of the second look by hand: which score keeps the false alarms, and where a series is suspected."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.look_figures import SliceScores, chosen_score, curve_point, listed_score, pooled_figures, series_point
from training.second_look.report import KnownLesion, SeriesFigures


def scan(alarms: list[float], planted: list[float], *, lesions: int = 0) -> SliceScores:
    """A lesion-free slice for each of `alarms`, whose best finding scores so and whose second half a point less."""
    false = tuple(np.array([score, score - 0.5]) for score in [*alarms, *([9.0] * lesions)])
    free = np.array([True] * len(alarms) + [False] * lesions)
    owners = np.array([f"P{k}" for k in range(len(planted))])
    return SliceScores("x", false, free, np.array(planted), owners, np.array(planted), owners)


def test_slices_with_a_lesion_raise_no_alarm() -> None:
    one = scan([0.0, 1.0, 2.0, 3.0], [2.5, -np.inf], lesions=2)
    at = curve_point([one], 1.5)
    assert (at.false_alarms, at.planted) == (0.5, 0.5)


def test_score_keeps_the_share_of_all_and_of_the_worst_scan() -> None:
    quiet, loud = scan([-5.0] * 90, [1.0]), scan([*[-5.0] * 6, 1.0, 2.0, 3.0, 4.0], [1.0])
    assert 3.0 < chosen_score([quiet, loud], 0.05, 0.10) <= 3.05
    assert -5.0 < chosen_score([quiet, loud], 0.05, 1.0) <= -4.9


def test_listed_findings_are_counted_each() -> None:
    one = scan([1.0, 2.0], [1.0])
    assert 1.5 < listed_score([one], 0.5) <= 1.55


def test_figures_pool_each_scan_at_its_own_score() -> None:
    figures = pooled_figures([scan([1.0] * 8, [1.0] * 4), scan([1.0] * 8, [1.0] * 4)], [0.0, 2.0], "")
    assert figures["planted"].value == 0.5
    assert figures["false_alarms"].value == 0.5
    assert figures["planted"].low == figures["planted"].high == 0.5


def series(suspicious: float, false: list[float]) -> SeriesFigures:
    lesion = KnownLesion(position_mm=(0.0, 0.0, 0.0), diameter_mm=20.0, readers=4, suspicious=True, score=suspicious)
    return SeriesFigures(scan="x", network="n", candidates=9, lesions=(lesion,), false_scores=tuple(false))


def test_a_series_is_suspected_between_where_lesions_and_false_findings_part() -> None:
    point = series_point([series(6.0, [2.0, 0.0, -1.0]), series(4.0, [1.0, 0.5, -2.0])])
    assert point.suspected_from == 2.5
    assert 0.5 < point.open_from <= 0.51
    assert point.listed_from < -20
    assert (point.sensitivity.value, point.false_alarms.high) == (1.0, 0.0)


def test_where_they_do_not_part_at_most_one_false_finding_a_series_is_suspected() -> None:
    point = series_point([series(2.0, [5.0, 3.0]), series(9.0, [4.0, 1.0])])
    assert point.suspected_from == pytest.approx(3.0)
    assert (point.sensitivity.value, point.false_alarms.high) == (0.5, 1.0)
