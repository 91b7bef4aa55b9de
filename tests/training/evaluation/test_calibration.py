"""Calibration and figures on numbers that can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from training.evaluation import metrics
from training.evaluation.calibration import (
    Platt,
    conformal_quantiles,
    fit_platt,
    fit_whitening,
    keep_above,
    local_scale,
    operating_point,
    sigmoid,
)

Y = np.array([False, False, True, True])


def test_platt_recovers_the_line_that_made_the_labels() -> None:
    rng = np.random.default_rng(0)
    logits, diameters = rng.normal(0, 1, 50_000), rng.uniform(3, 30, 50_000)
    labels = rng.random(50_000) < sigmoid(2 * logits + 1.5 * np.log(diameters) - 4)
    fitted = fit_platt(logits, diameters, labels)
    assert fitted.slope == pytest.approx(2, abs=0.1)
    assert fitted.per_log_mm == pytest.approx(1.5, abs=0.1)
    assert fitted.intercept == pytest.approx(-4, abs=0.2)


def test_size_never_counts_against_suspicion() -> None:
    rng = np.random.default_rng(0)
    logits, diameters = rng.normal(0, 1, 2000), rng.uniform(3, 30, 2000)
    labels = rng.random(2000) < sigmoid(logits - np.log(diameters) + 2)
    assert fit_platt(logits, diameters, labels).per_log_mm == 0


def test_platt_needs_both_classes() -> None:
    with pytest.raises(ValueError, match="both suspicious and benign"):
        fit_platt(np.zeros(3), np.ones(3), np.ones(3, np.bool_))


def test_platt_is_finite_at_the_extremes() -> None:
    assert np.isfinite(Platt(10, 1, 0).probability(np.array([-1e6, 1e6]), np.array([0.0, 50.0]))).all()


def test_threshold_keeps_the_wanted_fraction_and_no_more() -> None:
    scores = np.arange(1, 101) / 100
    assert keep_above(scores, 0.97) == 0.04
    assert (scores >= keep_above(scores, 0.97)).mean() == 0.97
    assert operating_point(np.array([0.1, 0.9, 0.6, 0.8]), Y, 1.0) == 0.6


def test_conformal_quantile_is_the_finite_sample_one() -> None:
    # 9 benign scores 0.1 … 0.9: ceil(10 * 0.9) = 9th smallest. Two suspicious are too few for 90 %.
    probability = np.array([*np.arange(1, 10) / 10, 0.8, 0.9])
    positive = np.array([False] * 9 + [True] * 2)
    found = conformal_quantiles(probability, positive, 0.9)
    assert found["normal"] == pytest.approx(0.9)
    assert found["cancer_suspected"] == 1.0


def test_conformal_sets_cover_fresh_draws() -> None:
    rng = np.random.default_rng(1)
    positive = rng.random(4000) < 0.4
    probability = sigmoid(rng.normal(0, 1.5, 4000) + np.where(positive, 1.0, -1.0))
    fitted = conformal_quantiles(probability[:2000], positive[:2000], 0.9)
    held = positive[2000:]
    assert np.mean(1 - probability[2000:][held] <= fitted["cancer_suspected"]) == pytest.approx(0.9, abs=0.03)
    assert np.mean(probability[2000:][~held] <= fitted["normal"]) == pytest.approx(0.9, abs=0.03)


def test_whitening_makes_each_direction_count_alike() -> None:
    values = np.random.default_rng(2).normal(0, 1, (5000, 3)).astype(np.float32) * np.array([1, 10, 0.1], np.float32)
    fitted = fit_whitening(values, 0.0)
    np.testing.assert_allclose(fitted.distance(fitted.mean + np.array([[0, 30, 0]], np.float32)), [3], rtol=0.05)
    assert np.median(fitted.distance(values)) == pytest.approx(1.54, abs=0.05)  # chi with 3 degrees of freedom


def test_whitening_survives_a_direction_without_variance() -> None:
    values = np.zeros((10, 2), np.float32)
    values[:, 0] = np.arange(10)
    assert np.isfinite(fit_whitening(values, 0.05).distance(np.array([[0, 1]], np.float32))).all()


def test_local_scale_never_magnifies() -> None:
    assert local_scale(np.full(10, 0.1)) == 1.0
    assert local_scale(np.array([[1.0, -60.0]])) == 10.0


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
