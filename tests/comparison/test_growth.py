"""Growth and doubling times, at their limits and on both sides."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.comparison.growth import Verdict, change_of, doubling_of
from app.inference.prediction import Measured

EXACT = 1e-9


def exactly(value: float) -> Measured:
    return Measured(value, value, value)


def about(value: float, share: float) -> Measured:
    return Measured(value, value * (1 - share), value * (1 + share))


@pytest.mark.parametrize(
    ("ratio", "verdict"),
    [
        (2.0, "grew"),
        (1.25, "grew"),
        (1.249, "stable"),
        (1.0, "stable"),
        (0.801, "stable"),
        (0.8, "shrank"),
        (0.1, "shrank"),
    ],
)
def test_growth_is_a_quarter_and_more(ratio: float, verdict: Verdict) -> None:
    change = change_of(exactly(400.0), exactly(400.0 * ratio))
    assert change is not None
    assert (change.verdict, change.possible) == (verdict, (verdict,))
    assert change.ratio.value == pytest.approx(ratio)


def test_what_the_outlines_do_not_tell_is_within_the_error_and_what_is_possible_is_said() -> None:
    change = change_of(about(400.0, 0.25), about(540.0, 0.25))
    assert change is not None
    assert change.verdict == "within_measurement_error"
    assert change.possible == ("grew", "stable")
    stable = change_of(about(400.0, 0.15), about(420.0, 0.15))
    assert stable is not None
    assert (stable.verdict, stable.possible) == ("stable", ("stable", "grew"))


def test_errors_of_both_outlines_add_up_as_squares_do() -> None:
    prior, current = (
        Measured(100.0, 100 / math.exp(0.3), 100 * math.exp(0.3)),
        Measured(200.0, 200 / math.exp(0.4), 270.0),
    )
    change = change_of(prior, current)
    assert change is not None
    assert change.ratio.low == pytest.approx(2 / math.exp(0.5))
    assert change.ratio.high == pytest.approx(2 * math.exp(math.hypot(math.log(1.35), 0.3)))


def test_without_a_volume_there_is_no_change_and_without_a_lower_end_no_upper_one() -> None:
    assert change_of(exactly(0.0), exactly(100.0)) is None
    assert change_of(exactly(100.0), exactly(0.0)) is None
    change = change_of(Measured(50.0, 0.0, 60.0), exactly(100.0))
    assert change is not None
    assert change.ratio.high == math.inf
    doubling = doubling_of(change.ratio, 100)
    assert doubling is not None
    assert doubling.days.low == 0


@pytest.mark.parametrize(
    ("ratio", "days", "doubling"), [(2.0, 100, 100.0), (4.0, 100, 50.0), (math.sqrt(2), 90, 180.0), (1.25, 365, 1133.8)]
)
def test_doubling_times(ratio: float, days: int, doubling: float) -> None:
    found = doubling_of(exactly(ratio), days)
    assert found is not None
    assert found.days.value == pytest.approx(doubling, abs=0.05)


def test_a_volume_that_is_no_larger_never_doubles() -> None:
    assert doubling_of(exactly(1.0), 100) is None
    assert doubling_of(exactly(0.5), 100) is None
    with pytest.raises(ValueError, match="a day"):
        doubling_of(exactly(2.0), 0)


@pytest.mark.parametrize(
    ("days", "paces"),
    [
        (400, ("at_most_400_days",)),
        (401, ("400_to_600_days",)),
        (600, ("400_to_600_days",)),
        (601, ("over_600_days",)),
    ],
)
def test_paces_at_their_limits(days: int, paces: tuple[str, ...]) -> None:
    found = doubling_of(exactly(2.0), days)
    assert found is not None
    assert found.paces == paces


def test_every_pace_that_the_interval_touches_is_named() -> None:
    found = doubling_of(Measured(2.0, 1.1, 3.0), 300)
    assert found is not None
    assert found.paces == ("at_most_400_days", "400_to_600_days", "over_600_days")
    open_ended = doubling_of(Measured(1.6, 0.9, 2.0), 300)
    assert open_ended is not None
    assert open_ended.days.high == math.inf
    assert open_ended.paces == ("400_to_600_days", "at_most_400_days", "over_600_days")


VOLUMES = st.floats(5.0, 50_000.0)


@given(prior=VOLUMES, current=VOLUMES, share=st.floats(0.0, 0.9))
def test_the_verdict_the_other_way_round_is_its_opposite(prior: float, current: float, share: float) -> None:
    opposite = {"grew": "shrank", "shrank": "grew"}
    there, back = (change_of(about(a, share), about(b, share)) for a, b in ((prior, current), (current, prior)))
    assert there is not None
    assert back is not None
    ratio = current / prior
    if min(abs(ratio - limit) for limit in (0.8, 1.25)) > EXACT:
        assert back.verdict == opposite.get(there.verdict, there.verdict)
    assert there.ratio.low <= there.ratio.value <= there.ratio.high


@given(prior=VOLUMES, ratio=st.floats(1.0001, 50.0), days=st.integers(1, 4000))
def test_after_its_doubling_time_a_volume_has_doubled(prior: float, ratio: float, days: int) -> None:
    doubling = doubling_of(exactly(ratio), days)
    assert doubling is not None
    assert prior * 2 ** (days / doubling.days.value) == pytest.approx(prior * ratio)
