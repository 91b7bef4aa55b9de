"""Free-response ROC on scores whose answer is known by counting."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.froc import RATES, Arm, Background, sensitivities, shown

# 16 slices with one false candidate each, scored 1 to 16.
FALSE = Background(tuple(np.array([float(k)]) for k in range(1, 17)))


def arm(*scores: float) -> Arm:
    return Arm(np.array(scores), np.array([f"P{k}" for k in range(len(scores))]), FALSE)


def all_of(one: Arm) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.ones(len(one.scores), np.bool_)


def test_a_threshold_lets_through_as_many_false_as_allowed() -> None:
    for rate in RATES[:3]:
        assert FALSE.counts(FALSE.threshold(rate)).mean() == rate
    assert FALSE.threshold(0.25) == pytest.approx(12)
    assert FALSE.threshold(0.25) > 12


def test_a_lesion_without_a_candidate_is_never_found() -> None:
    one = arm(100.0, -np.inf)
    assert sensitivities([one], [all_of(one)])[8.0].value == 0.5


def test_sensitivity_pools_lesions_each_at_its_own_scans_threshold() -> None:
    other = Background(tuple(np.array([100.0 * k]) for k in range(1, 17)))
    one, two = arm(13.0, 11.0), Arm(np.array([1300.0, 1100.0, 1500.0]), np.array(["A", "B", "C"]), other)
    found = sensitivities([one, two], [all_of(one), all_of(two)])
    assert found[0.25].value == pytest.approx(3 / 5)
    assert found[0.5].value == 1.0
    assert found[0.25].low <= 3 / 5 <= found[0.25].high


def test_only_the_chosen_lesions_count() -> None:
    one = arm(13.0, 11.0, 2.0)
    assert sensitivities([one], [np.array([True, False, False])])[0.25].value == 1.0


def test_patients_are_drawn_whole() -> None:
    clustered = Arm(np.array([99.0] * 10 + [0.0] * 10), np.array(["A"] * 10 + ["B"] * 10), FALSE)
    spread = arm(*[99.0] * 10, *[0.0] * 10)
    wide, narrow = (sensitivities([a], [all_of(a)])[0.5] for a in (clustered, spread))
    assert wide.value == narrow.value == 0.5
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)


def test_one_score_for_all_arms_states_what_it_shows() -> None:
    one = arm(13.0, 11.0)
    hits, rate = shown([one, one], [all_of(one), all_of(one)], 12.5)
    assert hits.value == 0.5
    assert rate.value == 4 / 16
    assert rate.low <= rate.value <= rate.high


def test_no_slice_is_no_background() -> None:
    with pytest.raises(ValueError, match="no slice"):
        Background(())
