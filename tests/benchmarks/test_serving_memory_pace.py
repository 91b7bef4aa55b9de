"""Spells in which memory is slow on every core."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from benchmarks.serving.memory_pace import MemoryPace, in_all, measure, slow_spans


def test_copies_that_are_slow_for_long_enough_are_a_spell() -> None:
    """A millisecond each; two at 0.02 s take 3 ms, eight from 0.05 s on take 2 ms with a fast one among them."""
    took = np.full(100, 0.001)
    took[20:22] = 0.003
    took[50:58] = 0.002
    took[54] = 0.001
    began = np.concatenate([[0.0], np.cumsum(took)[:-1]])
    (first, second) = slow_spans(began, took)
    assert first == pytest.approx((0.020, 0.026))
    assert second == pytest.approx((0.054, 0.069))


def test_shorter_ones_are_not() -> None:
    took = np.full(100, 0.001)
    took[20:22] = 0.002
    assert slow_spans(np.cumsum(took), took) == []


def test_only_what_is_slow_on_all_cores_counts() -> None:
    assert in_all([[(0.0, 2.0), (5.0, 6.0)], [(1.0, 3.0), (4.0, 5.5)]]) == [(1.0, 2.0), (5.0, 5.5)]
    assert in_all([[(0.0, 1.0)], []]) == []
    assert in_all([[(0.0, 1.0)]]) == [(0.0, 1.0)]


def test_their_share_is_of_the_time_watched() -> None:
    assert MemoryPace(20.0, (40.0, 160.0)).share == pytest.approx(0.01)


@pytest.mark.skipif(sys.platform != "linux", reason="keeps to cores as Linux has them")
def test_every_core_is_watched() -> None:
    found = measure(2.0)
    assert 0 < found.seconds <= 2.0
    assert 0 <= found.share <= 1
