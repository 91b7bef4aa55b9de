"""The bounded queue."""

from __future__ import annotations

import asyncio
import threading

import pytest

from app.errors import Overloaded
from app.inference.engine import Engine


def test_what_work_returns_and_raises_reaches_the_caller() -> None:
    async def scenario() -> None:
        engine = Engine(threads=1, queue_limit=1)
        assert await engine.submit(lambda: 6 * 7) == 42
        with pytest.raises(ZeroDivisionError):
            await engine.submit(lambda: 1 // 0)
        engine.close()

    asyncio.run(scenario())


def test_beyond_the_bound_callers_are_told_at_once_and_later_ones_are_served() -> None:
    async def scenario() -> None:
        engine = Engine(threads=1, queue_limit=1)
        release = threading.Event()
        working = [asyncio.create_task(engine.submit(release.wait)) for _ in range(2)]
        await asyncio.sleep(0)  # lets both be accepted
        with pytest.raises(Overloaded):
            await engine.submit(lambda: None)
        release.set()
        assert await asyncio.gather(*working) == [True, True]
        assert await engine.submit(lambda: "served") == "served"
        engine.close()

    asyncio.run(scenario())
