"""Calibration and thresholds on numbers that can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from training.evaluation.calibration import (
    MIN_OF_BIN,
    MIN_SLOPE,
    SIZE_EDGES_MM,
    Platt,
    conformal_quantiles,
    fit_platt,
    keep_above,
    operating_point,
    pooled_edges,
    sigmoid,
    size_quantiles,
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
    found = conformal_quantiles(probability, positive, np.full(11, 8.0), 0.9)
    assert found["normal"].quantiles == pytest.approx((0.9,))
    assert found["cancer_suspected"].quantiles == (1.0,)
    assert (found["normal"].nodules, found["normal"].pooled_mm) == ((9,), SIZE_EDGES_MM)


def sized(*counts: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """That many diameters in each of the wanted bins."""
    return np.repeat([3.0, 8.0, 15.0, 25.0], counts)


@pytest.mark.parametrize(
    ("counts", "edges"),
    [
        ((20, 20, 20, 20), (6.0, 10.0, 20.0)),
        ((19, 20, 20, 20), (10.0, 20.0)),
        ((20, 20, 20, 0), (6.0, 10.0)),
        ((60, 273, 44, 1), (6.0, 10.0)),
        ((0, 48, 220, 78), (10.0, 20.0)),
        ((30, 5, 40, 50), (10.0, 20.0)),  # the emptier neighbour takes it
        ((40, 5, 30, 50), (6.0, 20.0)),
        ((10, 9, 30, 30), (20.0,)),  # 19 together are too few still
        ((5, 5, 5, 4), ()),
        ((0, 0, 0, 0), ()),
    ],
)
def test_a_bin_with_few_joins_the_emptier_of_its_neighbours(counts: tuple[int, ...], edges: tuple[float, ...]) -> None:
    assert MIN_OF_BIN == 20
    assert pooled_edges(sized(*counts)) == edges


def test_each_bin_has_the_quantile_of_its_own_nodules() -> None:
    diameters = sized(20, 30, 0, 50)
    scores = np.concatenate([np.linspace(0, 0.19, 20), np.linspace(0.2, 0.49, 30), np.linspace(0.5, 0.99, 50)])
    found = size_quantiles(scores, diameters, 0.9)
    assert (found.edges_mm, found.nodules, found.pooled_mm) == ((6.0, 20.0), (20, 30, 50), (10.0,))
    # ceil(21 * 0.9) = 19th of 20, ceil(31 * 0.9) = 28th of 30, ceil(51 * 0.9) = 46th of 50
    assert found.quantiles == pytest.approx((0.18, 0.47, 0.95))
    assert [found.at(d) for d in (5.9, 6.0, 19.0, 20.0)] == pytest.approx([0.18, 0.47, 0.47, 0.95])


def test_conformal_sets_cover_fresh_draws_of_each_class_and_size() -> None:
    """Small suspicious and large benign ones score as the other class does: by class alone they would be left out."""
    rng = np.random.default_rng(1)
    positive, diameters = rng.random(8000) < 0.5, rng.uniform(3, 30, 8000)
    probability = sigmoid(rng.normal(0, 1, 8000) + 0.15 * (diameters - 15) + np.where(positive, 0.5, -0.5))
    half = slice(0, 4000), slice(4000, 8000)
    fitted = conformal_quantiles(probability[half[0]], positive[half[0]], diameters[half[0]], 0.9)
    p, y, d = probability[half[1]], positive[half[1]], diameters[half[1]]
    for label, of_class, score in (("cancer_suspected", y, 1 - p), ("normal", ~y, p)):
        quantiles = fitted[label]  # type: ignore[index]  # both are labels
        within = score <= np.array([quantiles.at(size) for size in d])
        for low, high in ((0, 6), (6, 10), (10, 20), (20, 40)):
            assert np.mean(within[of_class & (d >= low) & (d < high)]) == pytest.approx(0.9, abs=0.05)
    alone = np.sort(1 - p[y])[int(0.9 * y.sum())]
    assert np.mean(1 - p[y & (d < 6)] <= alone) < 0.8
