"""Live figures against values by hand and from the literature, and what they say of few cases: nothing."""

from __future__ import annotations

import numpy as np
import pytest

from app.watch.figures import MIN_OF_A_CLASS, auc, observed_to_expected, share


def flags(ones: int, zeros: int) -> np.ndarray:
    return np.array([True] * ones + [False] * zeros, np.bool_)


def test_wilsons_interval_is_that_of_the_literature() -> None:
    """Newcombe 1998, table I: 81 of 263 is 0.2553 to 0.3662; 0 of 20 is 0 to 0.1611; 15 of 148 is 0.0624 to 0.1605."""
    for called, of, low, high in ((81, 263, 0.2553, 0.3662), (0, 20, 0.0, 0.1611), (15, 148, 0.0624, 0.1605)):
        found = share(called, of)
        assert found is not None
        assert found.value == called / of
        assert found.low == pytest.approx(low, abs=1e-4)
        assert found.high == pytest.approx(high, abs=1e-4)


def test_auc_counts_pairs_and_ties_by_half() -> None:
    malignant = flags(20, 20)
    probability = np.array([0.8] * 10 + [0.5] * 10 + [0.5] * 10 + [0.2] * 10)
    found = auc(malignant, probability)
    assert found is not None
    assert found.value == pytest.approx((10 * 20 + 10 * 10 + 10 * 5) / 400)
    assert found.low < found.value < found.high < 1


def test_the_interval_of_auc_holds_the_truth_as_often_as_it_says() -> None:
    """Scores of two normal distributions 1 apart: the area is 0.7602."""
    rng = np.random.default_rng(4)
    malignant, held = flags(60, 120), 0
    for _ in range(300):
        found = auc(malignant, rng.normal(malignant.astype(float), 1.0))
        assert found is not None
        held += found.low <= 0.7602 <= found.high
    assert 0.91 <= held / 300 <= 0.985


def test_a_perfect_order_is_not_taken_for_certainty() -> None:
    found = auc(flags(20, 30), np.array([0.9] * 20 + [0.1] * 30))
    assert found is not None
    assert (found.value, found.high) == (1.0, 1.0)
    assert found.low == pytest.approx(0.839, abs=1e-3)  # Wilson of 20 of 20
    worst = auc(flags(20, 30), np.array([0.1] * 20 + [0.9] * 30))
    assert worst is not None
    assert (worst.value, worst.low) == (0.0, 0.0)


def test_observed_to_expected_is_one_where_probabilities_are_right() -> None:
    found = observed_to_expected(flags(25, 75), np.full(100, 0.25))
    assert found is not None
    assert found.value == pytest.approx(1.0)
    suspicious = observed_to_expected(flags(25, 75), np.full(100, 0.5))
    assert suspicious is not None
    assert suspicious.value == pytest.approx(0.5)
    assert suspicious.low < 0.5 < suspicious.high < 1


def test_few_cases_say_nothing() -> None:
    few = MIN_OF_A_CLASS - 1
    assert share(few, few) is None
    assert auc(flags(few, 500), np.linspace(0, 1, 500 + few)) is None
    assert auc(flags(500, few), np.linspace(0, 1, 500 + few)) is None
    assert auc(flags(0, 0), np.zeros(0)) is None
    assert observed_to_expected(flags(5, 500), np.full(505, 0.01)) is None
    assert observed_to_expected(flags(500, 5), np.full(505, 0.99)) is None
