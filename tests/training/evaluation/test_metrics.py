"""Figures of merit and their intervals on numbers that can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from app.inference.bundle import Interval
from training.evaluation import metrics

Y = np.array([False, False, True, True])


def test_auc_counts_pairs_and_halves_ties() -> None:
    assert metrics.auc(Y, np.array([0.1, 0.5, 0.5, 0.9])) == 0.875
    assert np.isnan(metrics.auc(np.ones(2, np.bool_), np.array([1.0, 2.0])))


def test_size_matched_auc_uses_only_pairs_of_like_size() -> None:
    score, diameter = np.array([0.9, 0.1, 0.5, 0.2]), np.array([30.0, 10.0, 10.5, 11.0])
    assert metrics.size_matched_auc(Y, score, diameter, 1.0) == 1.0
    assert np.isnan(metrics.size_matched_auc(Y, score, np.array([1.0, 2.0, 30.0, 40.0]), 1.0))


def test_brier_and_calibration_error() -> None:
    probability = np.array([0.25, 0.25, 0.75, 0.75])
    assert metrics.brier(Y, probability) == 0.0625
    assert metrics.expected_calibration_error(Y, probability, 2) == 0.25


def test_dice_and_diameter() -> None:
    one, other = np.zeros((2, 4, 4), np.bool_), np.zeros((2, 4, 4), np.bool_)
    one[0, :2], other[0, 1:3] = True, True
    np.testing.assert_allclose(metrics.dice(one, other), [0.5, 1.0])
    np.testing.assert_allclose(metrics.diameter_mm(one, 0.5), [2 * np.sqrt(8 / np.pi) * 0.5, 0])


def test_bootstrap_resamples_patients_not_nodules() -> None:
    # Ten nodules of one patient and one of another: whole-patient draws give means 0, 1/11·… or 1 only.
    values = np.array([0.0] * 10 + [1.0])
    found = metrics.bootstrap(lambda i: float(values[i].mean()), ["a"] * 10 + ["b"], 200, 0)
    assert found.value == pytest.approx(1 / 11)
    assert (found.low, found.high) == (0.0, 1.0)


def test_bootstrap_refuses_an_undefined_figure() -> None:
    with pytest.raises(metrics.Undefined):
        metrics.bootstrap(lambda _: float("nan"), ["a", "b"], 10, 0)


def test_pairs_just_within_the_limit_count_and_ties_half() -> None:
    score, diameter = np.array([0.5, 0.9, 0.5, 0.1]), np.array([10.0, 30.0, 11.0, 31.0])
    # 10 and 11 mm tie; 30 and 31 mm are ranked the wrong way.
    assert metrics.size_matched_auc(Y, score, diameter, 1.0) == 0.25


@pytest.mark.parametrize("seed", range(5))
def test_pairs_of_like_size_are_those_of_the_resample(seed: int) -> None:
    """Comparing all pairs once and counting draws gives what comparing the drawn ones gives."""
    rng = np.random.default_rng(seed)
    positive, score, diameter = rng.random(60) < 0.4, rng.integers(0, 9, 60) / 8, rng.uniform(4, 14, 60)
    drawn = rng.integers(60, size=60)
    y, s, d = positive[drawn], score[drawn], diameter[drawn]
    near = np.abs(d[y][:, None] - d[~y]) <= 1.0
    difference = s[y][:, None] - s[~y]
    wanted = np.mean((difference > 0) + 0.5 * (difference == 0), where=near)
    assert metrics.LikeSizePairs(positive, score, diameter, 1.0)(drawn) == pytest.approx(wanted)
    assert np.isnan(metrics.LikeSizePairs(positive, score, diameter, 1.0)(np.flatnonzero(positive)))


def test_spearman_is_of_ranks() -> None:
    one = np.array([1.0, 2.0, 3.0, 4.0])
    assert metrics.spearman(one, 10**one) == pytest.approx(1)


def test_errors_of_two_bins_do_not_cancel() -> None:
    probability = np.array([0.2, 0.2, 0.8, 0.8])
    assert metrics.expected_calibration_error(np.array([False, True, True, False]), probability, 2) == pytest.approx(
        0.3
    )


def test_an_interval_holds_95_of_100_resamples() -> None:
    # The mean of 400 patients' 0s and 1s: half a width of 1.96 standard errors.
    values = np.arange(400) % 2 * 1.0
    found = metrics.bootstrap(lambda i: float(values[i].mean()), [str(k) for k in range(400)], 2000, 0)
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * 0.5 / 20, rel=0.06)


def test_sensitivity_and_specificity_count_their_own_class() -> None:
    called = np.array([True, False, True, True])
    assert (metrics.sensitivity(Y, called), metrics.specificity(Y, called)) == (1.0, 0.5)
    assert np.isnan(metrics.specificity(np.ones(2, np.bool_), np.ones(2, np.bool_)))


def test_average_precision_is_the_sum_of_precision_times_step_in_recall() -> None:
    positive = np.array([True, False, True, False])
    # Found at ranks 1 and 3: 1/2 * 1/1 + 1/2 * 2/3.
    assert metrics.average_precision(positive, np.array([0.9, 0.8, 0.7, 0.1])) == pytest.approx(5 / 6)
    # All equal: one step with the precision of chance.
    assert metrics.average_precision(positive, np.zeros(4)) == 0.5
    assert np.isnan(metrics.average_precision(np.zeros(2, np.bool_), np.zeros(2)))


def test_spearman_leaves_out_what_is_unknown() -> None:
    one = np.array([1.0, 2.0, 3.0, np.nan])
    assert metrics.spearman(one, np.array([10.0, 30.0, 20.0, 0.0])) == pytest.approx(0.5)
    assert np.isnan(metrics.spearman(one, np.ones(4)))
    assert metrics.spearman(np.array([10.0, 30.0, 20.0, 0.0]), one) == pytest.approx(0.5)
    assert metrics.mean(np.array([0.5, np.nan, 1.0])) == 0.75
    assert np.isnan(metrics.mean(np.array([np.nan])))


def test_paired_figures_share_their_resamples() -> None:
    # The same ranking twice: each AUC varies from draw to draw, their difference never does.
    positive, score = np.arange(20) % 2 == 1, np.random.default_rng(0).normal(size=20)
    found = metrics.bootstrap_all(
        {
            "auc": lambda i: metrics.auc(positive[i], score[i]),
            "gain": lambda i: metrics.auc(positive[i], score[i]) - metrics.auc(positive[i], 10 + 2 * score[i]),
        },
        [str(k) for k in range(20)],
        100,
        0,
    )
    assert found["auc"].low < found["auc"].high
    assert found["gain"] == Interval(value=0, low=0, high=0)


def test_an_undefined_figure_is_left_out() -> None:
    assert metrics.bootstrap_all({"auc": lambda _: float("nan"), "one": lambda _: 1.0}, ["a", "b"], 10, 0) == {
        "one": Interval(value=1, low=1, high=1)
    }
