"""Calibration and thresholds on numbers that can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from training.evaluation.calibration import (
    MIN_SLOPE,
    Platt,
    conformal_quantiles,
    fit_platt,
    keep_above,
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


def test_a_network_that_ranks_backwards_is_not_flipped() -> None:
    scores, labels = np.linspace(-2, 2, 100), np.arange(100) < 50
    assert fit_platt(scores, np.full(100, 5.0), labels).slope == pytest.approx(MIN_SLOPE)


def test_an_outline_that_is_hardly_there_counts_as_two_millimetres() -> None:
    assert Platt(0, 1, 0).probability(np.zeros(2), np.array([0.1, 2.0])) == pytest.approx([2 / 3, 2 / 3])


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
