"""Core pinning: each thread of the engines keeps to a core of its own, and moves when workers are replaced."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.inference.engine import Engine
from app.inference.series_lane import SeriesLane
from app.main import create_app
from app.server import cores as cores_module
from app.server.cores import Cores
from app.server.load_board import LoadBoard
from app.settings import Settings
from tests.fakes import arithmetic_backends, write_models

CORES = tuple(sorted(os.sched_getaffinity(0))) if sys.platform == "linux" else ()
pytestmark = pytest.mark.skipif(len(CORES) < 2, reason="there are no two cores to choose from")


@pytest.fixture(autouse=True)
def unpinned() -> Iterator[None]:
    """The thread of the tests, which is that of their event loops, stays as it is."""
    yield
    os.sched_setaffinity(0, CORES)


async def core_of(engine: Engine) -> set[int]:
    """The cores on which the engine's work may run."""

    async def waits() -> bool:
        return False

    return await engine.submit(lambda: os.sched_getaffinity(0), 1, waits)


def test_each_worker_keeps_to_a_core_and_moves_with_its_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores_module, "LOOK_S", 0)

    async def scenario() -> None:
        rank = 0
        engines = [Engine(1, 1, 1), Engine(1, 1, 1)]
        one, other = Cores(CORES[:2], lambda: rank), Cores(CORES[:2], lambda: 1 - rank)
        one.start(engines[0].start())
        assert os.sched_getaffinity(0) == {CORES[0]}  # the event loop goes along with the only thread
        other.start(engines[1].start())
        assert [await core_of(engine) for engine in engines] == [{CORES[0]}, {CORES[1]}]
        rank = 1
        async with asyncio.timeout(30):
            while await core_of(engines[0]) != {CORES[1]} or await core_of(engines[1]) != {CORES[0]}:
                pass
        one.stop()
        other.stop()
        for engine in engines:
            engine.close()

    asyncio.run(scenario())


def test_threads_of_one_worker_have_a_core_each_and_its_event_loop_any() -> None:
    engine = Engine(2, 0, 2)
    threads = engine.start()
    Cores(CORES[:2]).pin(threads)
    assert [os.sched_getaffinity(thread) for thread in threads] == [{CORES[0]}, {CORES[1]}]
    assert os.sched_getaffinity(0) == set(CORES)
    engine.close()


def test_more_workers_than_cores_share_them_while_workers_are_replaced() -> None:
    engine = Engine(1, 0, 1)
    Cores(CORES[:2], lambda: 2).pin(engine.start())
    assert asyncio.run(core_of(engine)) == {CORES[0]}
    engine.close()


def test_series_may_run_on_any_core_whatever_its_event_loop_keeps_to() -> None:
    async def scenario() -> set[int]:
        engine, cores = Engine(1, 0, 1), Cores(CORES)
        cores.pin(engine.start())
        engine.close()
        with SeriesLane(1, begin=cores.release).slot() as slot:
            return await slot.run(lambda: os.sched_getaffinity(0))

    with ThreadPoolExecutor(1) as apart:
        assert apart.submit(asyncio.run, scenario()).result() == set(CORES)


@pytest.mark.parametrize(
    ("given", "pinned"),
    [
        pytest.param({"threads": len(CORES)}, True, id="a core for each thread"),
        pytest.param({"threads": len(CORES) + 1}, False, id="more threads than cores"),
        pytest.param({"threads": len(CORES) - 1}, False, id="fewer"),
        pytest.param({"threads": len(CORES), "without": "core-pinning"}, False, id="switched off"),
        pytest.param({"threads": len(CORES), "server": "stock"}, False, id="plain uvicorn"),
    ],
)
def test_service_pins_its_threads_where_there_is_a_core_for_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], pinned: bool
) -> None:
    monkeypatch.setattr("app.machine.usable_cores", lambda: len(CORES))  # whatever this container's quota is
    write_models(tmp_path)
    before = set(threading.enumerate())
    app = create_app(
        Settings(models_dir=tmp_path, **given),
        backends=arithmetic_backends(),
        load_first=True,
    )
    with TestClient(app):
        threads = [each for each in threading.enumerate() if each.name.startswith("engine-") and each not in before]
        kept = [os.sched_getaffinity(each.native_id or 0) for each in sorted(threads, key=lambda each: each.name)]
    assert len(kept) == given["threads"]
    if pinned:
        assert sorted(kept, key=min) == [{core} for core in CORES]
    else:
        assert kept == [set(CORES)] * len(kept)


def test_series_of_a_pinned_worker_run_on_any_core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.main.own_cores", lambda: CORES[:2])
    write_models(tmp_path)
    app = create_app(
        Settings(models_dir=tmp_path, threads=1),
        backends=arithmetic_backends(),
        board=LoadBoard(2, tmp_path),
        load_first=True,
    )

    async def cores_of_loop_and_series() -> tuple[set[int], set[int]]:
        with app.state.services.lane.slot() as slot:
            return os.sched_getaffinity(0), await slot.run(lambda: os.sched_getaffinity(0))

    with TestClient(app) as client:
        assert client.portal is not None
        assert client.portal.call(cores_of_loop_and_series) == ({CORES[0]}, set(CORES[:2]))
