"""Room for series: bounded, given back when the work has ended, told to stop when nobody waits."""

from __future__ import annotations

import asyncio
import threading

import pytest

from app.errors import Overloaded
from app.inference.series_lane import SeriesLane, SeriesSlot


def test_what_work_returns_and_raises_reaches_the_caller() -> None:
    async def scenario() -> None:
        lane = SeriesLane(limit=1)
        with lane.slot() as slot:
            assert await slot.run(lambda: 6 * 7) == 42
            with pytest.raises(ZeroDivisionError):
                await slot.run(lambda: 1 // 0)
            assert not slot.cancelled()
        assert slot.cancelled()
        assert len(lane) == 0
        lane.close()

    asyncio.run(scenario())


def test_series_one_after_the_other_have_one_thread_and_beside_each_other_two() -> None:
    async def scenario() -> tuple[set[int], set[int]]:
        lane = SeriesLane(limit=2)
        threads: set[int] = set()
        for _ in range(20):
            with lane.slot() as slot:
                threads |= {await slot.run(threading.get_ident) for _ in range(5)}
        with lane.slot() as slot, lane.slot() as other:
            beside = {await slot.run(threading.get_ident), await other.run(threading.get_ident)}
        lane.close()
        return threads, beside

    threads, beside = asyncio.run(scenario())
    assert (len(threads), len(beside)) == (1, 2)


def test_beyond_the_bound_callers_are_told_at_once() -> None:
    lane = SeriesLane(limit=2)
    with lane.slot(), lane.slot():
        assert len(lane) == 2
        with pytest.raises(Overloaded, match="LUNGSCOPE_MAX_SERIES"), lane.slot():
            raise AssertionError("a third series came in")
        assert len(lane) == 2
    with lane.slot():
        assert len(lane) == 1
    lane.close()


def test_place_of_an_abandoned_series_is_free_once_its_work_has_ended() -> None:
    release, started = threading.Event(), threading.Event()
    lane = SeriesLane(limit=1)
    told: list[bool] = []

    def work(slot: SeriesSlot) -> None:
        started.set()
        release.wait(timeout=30)
        told.append(slot.cancelled())

    async def scenario() -> None:
        with lane.slot() as slot:
            running = asyncio.create_task(slot.run(lambda: work(slot)))
            await asyncio.to_thread(started.wait, 30)
            running.cancel()
        assert len(lane) == 1, "its memory is still in use"
        with pytest.raises(Overloaded), lane.slot():
            raise AssertionError("room for two")
        release.set()

    asyncio.run(scenario())
    lane.close()
    assert told == [True]
    assert len(lane) == 0


def test_closing_asks_all_work_to_stop() -> None:
    async def scenario() -> None:
        lane = SeriesLane(limit=1)
        with lane.slot() as slot:
            started = threading.Event()

            def work() -> str:
                started.set()
                while not slot.cancelled():
                    pass
                return "stopped"

            running = asyncio.create_task(slot.run(work))
            await asyncio.to_thread(started.wait, 30)
            await asyncio.to_thread(lane.close)
            assert await running == "stopped"

    asyncio.run(scenario())


def test_place_of_the_spool_is_kept_for_it() -> None:
    lane = SeriesLane(limit=1, reserved=1)
    lane.require_place()
    with lane.slot():
        with pytest.raises(Overloaded):
            lane.require_place()
        with lane.slot(spooled=True):
            with pytest.raises(Overloaded), lane.slot(spooled=True):
                pass
            assert len(lane) == 2
    with lane.slot(spooled=True):
        lane.require_place()
    lane.close()


def test_place_may_be_given_back_before_its_block_ends() -> None:
    lane = SeriesLane(limit=1)
    with lane.slot() as slot:
        slot.close()
        with lane.slot():
            pass
    assert len(lane) == 0
    with lane.slot(), pytest.raises(Overloaded), lane.slot():
        pass
    lane.close()
