"""How often, and how many at a time, one caller may ask."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import TooManyRequests
from app.security.quota import MOST_CALLERS, Pace, Quota
from tests.clock import Clock


def test_a_burst_then_the_pace(clock: Clock) -> None:
    pace = Pace(2, 3, clock)
    assert [pace.wait_s("a") for _ in range(4)] == pytest.approx([0, 0, 0, 0.5])
    clock.now += 0.5
    assert pace.wait_s("a") == 0
    assert pace.wait_s("a") > 0
    assert pace.wait_s("b") == 0


@given(st.lists(st.floats(0, 3), max_size=60), st.floats(0.5, 20), st.integers(1, 5))
def test_in_no_window_more_than_burst_and_pace_and_who_waits_as_told_is_let_in(
    pauses: list[float], per_second: float, burst: int
) -> None:
    clock = Clock()
    pace = Pace(per_second, burst, clock)
    let_in: list[float] = []
    for pause in pauses:
        clock.now += pause
        if wait_s := pace.wait_s("a"):
            clock.now += wait_s + 1e-6
            assert pace.wait_s("a") == 0
        let_in.append(clock.now)
    for first, begin in enumerate(let_in):
        for count, end in enumerate(let_in[first:], start=1):
            assert count <= burst + per_second * (end - begin) + 1e-3


def test_as_many_callers_as_there_may_be_are_remembered_and_no_more(clock: Clock) -> None:
    pace = Pace(1, 1, clock)
    for n in range(MOST_CALLERS + 10):
        assert pace.wait_s(f"address {n}") == 0
    assert len(pace._full_at) == MOST_CALLERS
    clock.now += 10
    assert pace.wait_s("another") == 0
    assert len(pace._full_at) == 1


def test_one_caller_has_its_share_of_places_and_others_theirs() -> None:
    quota = Quota(None, 2)
    with quota.place("a"), quota.place("a"):
        with pytest.raises(TooManyRequests, match="LUNGSCOPE_CALLER_SHARE"), quota.place("a"):
            pass
        with quota.place("b"):
            pass
    with quota.place("a"), quota.place("a"):
        pass


def test_a_request_that_fails_gives_its_place_back() -> None:
    quota = Quota(None, 1)
    for _ in range(3):
        with pytest.raises(RuntimeError), quota.place("a"):
            raise RuntimeError


def test_who_asks_too_often_hears_for_how_long(clock: Clock) -> None:
    quota = Quota(Pace(0.1, 1, clock), None)
    with quota.place("a"):
        pass
    with pytest.raises(TooManyRequests, match="LUNGSCOPE_CALLER_RATE") as caught, quota.place("a"):
        pass
    assert caught.value.retry_after_s == 10


def test_without_bounds_nobody_is_refused() -> None:
    quota = Quota(None, None)
    for _ in range(1000):
        with quota.place("a"), quota.place("a"):
            pass
