"""The memory of bodies that are being received: who has cost most makes room."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from app.errors import Overloaded
from app.inference.arrivals import Arrival, Arrivals
from tests.clock import Clock


class Bodies:
    """Bodies that begin one after the other, beside `held` bytes."""

    def __init__(self, clock: Clock, most: int) -> None:
        self.held = 0
        self.arrivals = Arrivals(most, lambda: self.held, clock)
        self._stack = ExitStack()

    def begin(self) -> Arrival:
        return self._stack.enter_context(self.arrivals.begin())


def test_body_alone_may_be_of_any_size(clock: Clock) -> None:
    bodies = Bodies(clock, 100)
    body = bodies.begin()
    body.grow(1000)
    body.require()
    assert len(bodies.arrivals) == 1000


def test_body_that_stopped_makes_room_for_one_that_comes(clock: Clock) -> None:
    bodies = Bodies(clock, 100)
    stopped = bodies.begin()
    stopped.grow(60)
    woken: list[bool] = []
    stopped.stop = lambda: woken.append(True)
    clock.now += 5
    coming = bodies.begin()
    clock.now += 1
    coming.grow(40)
    assert not stopped.refused
    coming.grow(1)
    assert (stopped.refused, woken, coming.refused) == (True, [True], False)
    assert len(bodies.arrivals) == 41
    with pytest.raises(Overloaded, match="60 bytes"):
        stopped.require()
    stopped.grow(10)  # on its way when it was refused
    assert len(bodies.arrivals) == 41


def test_what_is_at_work_is_not_refused_but_counts(clock: Clock) -> None:
    bodies = Bodies(clock, 100)
    bodies.held = 90
    body = bodies.begin()
    body.grow(10)
    body.require()
    body.grow(1)
    with pytest.raises(Overloaded):
        body.require()


def test_many_stalled_bodies_hold_no_more_than_the_bound(clock: Clock) -> None:
    bodies = Bodies(clock, 250)
    stalled = [bodies.begin() for _ in range(30)]
    for body in stalled:
        body.grow(62)
        clock.now += 1
    assert len(bodies.arrivals) <= 250
    assert sum(body.refused for body in stalled) == 26
    small = bodies.begin()
    clock.now += 0.1
    small.grow(3)
    assert not small.refused


def test_body_that_is_complete_counts_no_more(clock: Clock) -> None:
    arrivals = Arrivals(100, clock=clock)
    for _ in range(5):
        with arrivals.begin() as body:
            body.grow(80)
    assert len(arrivals) == 0
