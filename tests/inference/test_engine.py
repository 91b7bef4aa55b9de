"""The bounded queue."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import pytest

from app.errors import Overloaded
from app.inference import engine as engine_module
from app.inference.engine import Abandoned, Engine


async def waits() -> bool:
    return False


async def left() -> bool:
    return True


async def submit(engine: Engine, work: Callable[[], object], size_bytes: int = 1) -> object:
    return await engine.submit(work, size_bytes, waits)


def test_what_work_returns_and_raises_reaches_the_caller() -> None:
    async def scenario() -> None:
        engine = Engine(threads=1, queue_limit=1, max_bytes=1)
        assert await submit(engine, lambda: 6 * 7) == 42
        with pytest.raises(ZeroDivisionError):
            await submit(engine, lambda: 1 // 0)
        engine.close()

    asyncio.run(scenario())


class Sent:
    """Stands for what a caller has sent."""

    def judged(self) -> str:
        return "judged"

    def refused(self) -> str:
        raise ZeroDivisionError


@pytest.mark.parametrize("outcome", [Sent.judged, Sent.refused])
def test_nothing_that_was_sent_is_kept_until_a_collection(outcome: Callable[[Sent], str]) -> None:
    async def scenario() -> weakref.ref[Sent]:
        engine = Engine(threads=1, queue_limit=1, max_bytes=1)
        sent = Sent()
        kept = weakref.ref(sent)
        with suppress(ZeroDivisionError):
            await submit(engine, partial(outcome, sent))
        del sent
        await asyncio.sleep(0)  # the loop lets go of the call that told it
        engine.close()
        return kept

    gc.collect()
    gc.disable()
    try:
        assert asyncio.run(scenario())() is None
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("queue_limit", "max_bytes", "found"), [(1, 100, "2 requests at work"), (100, 2, "2 bytes at work")]
)
def test_beyond_either_bound_callers_are_told_at_once_and_later_ones_are_served(
    queue_limit: int, max_bytes: int, found: str
) -> None:
    async def scenario() -> None:
        engine = Engine(1, queue_limit, max_bytes)
        release = threading.Event()
        working = [asyncio.create_task(submit(engine, release.wait)) for _ in range(2)]
        await asyncio.sleep(0)  # lets both be accepted
        with pytest.raises(Overloaded, match=found):
            await submit(engine, lambda: None)
        release.set()
        assert await asyncio.gather(*working) == [True, True]
        assert await submit(engine, lambda: "served") == "served"
        engine.close()

    asyncio.run(scenario())


def test_no_more_is_begun_to_be_received_than_will_be_taken() -> None:
    async def scenario() -> None:
        engine = Engine(threads=1, queue_limit=1, max_bytes=100)
        with engine.coming(1):
            expected = engine.expect()
            assert engine.overload(1) is not None
            with pytest.raises(Overloaded), engine.coming(1):
                raise AssertionError("there are two already")
            with engine.coming(1, expected):
                assert engine.overload(1) is not None
            assert engine.overload(1) is None
        engine.expect()
        assert engine.overload(1) is None
        engine.close()

    asyncio.run(scenario())


def test_what_was_received_is_taken_however_much_comes_after_it() -> None:
    async def scenario() -> None:
        engine = Engine(threads=1, queue_limit=0, max_bytes=100)
        with engine.coming(1):
            pass
        engine.expect()
        assert await submit(engine, lambda: "served") == "served"
        engine.close()

    asyncio.run(scenario())


def test_what_does_not_come_soon_takes_no_place_from_others(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(threads=1, queue_limit=0, max_bytes=100)
    with engine.coming(1):
        assert engine.overload(1) is not None
        monkeypatch.setattr(engine_module, "SOON_S", -1.0)
        assert engine.overload(1) is None


def test_idle_engine_takes_what_is_larger_than_its_bound() -> None:
    async def scenario() -> None:
        engine = Engine(threads=1, queue_limit=1, max_bytes=1)
        assert await submit(engine, lambda: "served", size_bytes=2) == "served"
        engine.close()

    asyncio.run(scenario())


def test_work_of_callers_who_left_while_it_waited_is_dropped() -> None:
    done: list[str] = []

    async def scenario() -> None:
        engine = Engine(threads=1, queue_limit=9, max_bytes=100)
        release = threading.Event()
        working = [asyncio.create_task(submit(engine, release.wait)) for _ in range(2)]
        await asyncio.sleep(0)  # lets both be accepted: no place is left
        abandoned = asyncio.create_task(engine.submit(partial(done.append, "abandoned"), 1, left))
        cancelled = asyncio.create_task(submit(engine, partial(done.append, "cancelled")))
        await asyncio.sleep(0)
        cancelled.cancel()
        release.set()
        await asyncio.gather(*working)
        with pytest.raises(Abandoned):
            await abandoned
        await submit(engine, partial(done.append, "later"))
        engine.close()

    asyncio.run(scenario())
    assert done == ["later"]


def test_others_give_way_while_there_is_work_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "GIVE_WAY_S", 30.0)
    went: list[str] = []

    async def scenario() -> None:
        engine = Engine(threads=1, queue_limit=1, max_bytes=1)
        engine.give_way()  # nobody is there

        def series() -> None:
            engine.give_way()
            went.append("series")

        thread = threading.Thread(target=series)

        def work() -> None:
            thread.start()
            went.append("slice")

        await submit(engine, work)
        await asyncio.to_thread(thread.join)
        engine.close()

    asyncio.run(scenario())
    assert went == ["slice", "series"]


def test_giving_way_ends_however_long_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "GIVE_WAY_S", 0.0)

    async def scenario() -> None:
        engine = Engine(threads=1, queue_limit=1, max_bytes=1)
        release = threading.Event()
        working = asyncio.create_task(submit(engine, release.wait))
        await asyncio.sleep(0)
        engine.give_way()
        release.set()
        await working
        engine.close()

    asyncio.run(scenario())
