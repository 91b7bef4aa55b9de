"""Workers that hand slices to each other."""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from app.api.load_board import LoadBoard
from app.api.sharing import Job, Judgement, Sharing
from app.errors import EmptyInput
from app.main import create_app
from app.settings import Settings
from tests.api.conftest import ON_NODULE, wait_until_ready
from tests.fakes import ArithmeticBackend, ArithmeticFilter

JOB = Job(b"a slice", {"roi": "1,2"}, "zh", "0b9c5f0e-3a43-4c8e-8a55-3f7c0a1f6c11", 1.5)
DONE = Judgement(b"{}", "benign", {"total": 2.5})


@pytest.fixture
def board() -> Iterator[LoadBoard]:
    with tempfile.TemporaryDirectory() as folder:  # a short path: sockets have no longer ones
        yield LoadBoard(2, Path(folder))


async def judge(job: Job) -> Judgement:
    assert job == JOB
    return DONE


async def fail(_: Job) -> Judgement:
    raise EmptyInput(found="", expected="", remedy="")


def test_ranks_have_no_gap_while_workers_are_replaced_one_by_one(board: LoadBoard) -> None:
    async def scenario() -> None:
        assert board.workers == 2
        workers = [Sharing(board), Sharing(board)]
        for _ in range(5):
            workers.append(Sharing(board))
            assert {worker.rank() for worker in workers} == {0, 1, 2}
            await workers.pop(0).stop()
            assert {worker.rank() for worker in workers} == {0, 1}

    asyncio.run(scenario())


def test_busy_worker_hands_over_to_the_one_with_least_at_hand(board: LoadBoard) -> None:
    async def scenario() -> None:
        one, other, third = workers = Sharing(board), Sharing(board), Sharing(board)
        for worker in workers:
            await worker.start(judge)
        assert one.idler() is None  # nothing to do: no reason to ask anybody
        one.publish_slices(1)
        other.publish_slices(1)
        assert one.idler() == 2
        third.publish_slices(1)
        assert one.idler() is None
        one.publish_slices(3)
        other.publish_slices(3)
        assert one.idler() == 2
        third.publish_slices(2)
        assert one.idler() is None
        one.publish_slices(5)
        assert one.idler() == 2
        third.publish_series(2)
        assert one.idler() is None
        third.publish_series(0)
        third.publish_slices(1)
        assert one.idler() == 2
        await third.stop()
        assert one.idler() is None
        await one.stop()
        await other.stop()

    asyncio.run(scenario())


def test_worker_that_is_not_ready_hands_everything_over(board: LoadBoard) -> None:
    async def scenario() -> None:
        loading, ready = Sharing(board), Sharing(board)
        assert loading.idler() is None
        await ready.start(judge)
        ready.publish_slices(3)
        assert await loading.hand_over(JOB) == DONE
        await loading.start(judge)
        assert loading.idler() is None
        await loading.stop()
        await ready.stop()

    asyncio.run(scenario())


def test_worker_that_cannot_listen_is_asked_for_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        board = LoadBoard(2, tmp_path / ("a" * 120))
        busy, other = Sharing(board), Sharing(board)
        await other.start(judge)
        busy.publish_slices(1)
        assert busy.idler() is None
        assert await busy.hand_over(JOB) is None
        await other.stop()

    asyncio.run(scenario())


def test_place_of_a_dead_worker_is_given_to_the_next(board: LoadBoard) -> None:
    places = [board.join() for _ in range(4)]
    with pytest.raises(RuntimeError):
        board.join()
    board.leave(places[1])
    assert board.join() == places[1]


def test_what_an_idle_worker_made_of_it_comes_back_unchanged(board: LoadBoard) -> None:
    async def scenario() -> None:
        busy, idle = Sharing(board), Sharing(board)
        await busy.start(judge)
        await idle.start(judge)
        busy.publish_slices(1)
        assert await asyncio.gather(*(busy.hand_over(JOB) for _ in range(2))) == [DONE, None]
        assert await busy.hand_over(JOB) == DONE
        await busy.stop()
        await idle.stop()

    asyncio.run(scenario())


@pytest.mark.parametrize("listens", [True, False])
def test_what_another_worker_cannot_do_is_left_to_the_one_who_asked(board: LoadBoard, listens: bool) -> None:
    async def scenario() -> None:
        busy, other = Sharing(board), Sharing(board)
        await other.start(fail)
        if not listens:
            board.socket_of(1).unlink()
        busy.publish_slices(1)
        assert await busy.hand_over(JOB) is None
        assert await busy.hand_over(JOB) is None
        await busy.stop()
        await other.stop()

    asyncio.run(scenario())


def test_worker_that_dies_over_it_leaves_it_to_the_one_who_asked(board: LoadBoard) -> None:
    async def scenario() -> None:
        busy, place = Sharing(board), board.join()

        async def die(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.close()

        async with await asyncio.start_unix_server(die, board.socket_of(place)):
            board.publish(place, 0)
            busy.publish_slices(1)
            assert await busy.hand_over(JOB) is None

    asyncio.run(scenario())


def test_slice_sent_to_a_busy_worker_is_judged_by_an_idle_one(
    settings: Settings, board: LoadBoard, suspicious: bytes
) -> None:
    held, free = ArithmeticBackend(), ArithmeticBackend()
    with ExitStack() as stack:
        busy, idle = (
            stack.enter_context(
                TestClient(create_app(settings, backend=backend, detector_backend=ArithmeticFilter(), board=board))
            )
            for backend in (held, free)
        )
        wait_until_ready(busy)
        wait_until_ready(idle)
        alone = idle.post("/v1/predict", params=ON_NODULE, content=suspicious)
        held.hold()
        first = threading.Thread(target=lambda: busy.post("/v1/predict", params=ON_NODULE, content=suspicious))
        first.start()
        assert held.started.wait(timeout=30)
        shared = busy.post("/v1/predict", params=ON_NODULE, content=suspicious, headers={"Accept-Language": "zh"})
        refused = busy.post("/v1/predict", params={**ON_NODULE, "window": "no"}, content=suspicious)
        held.release()
        first.join()
    assert shared.status_code == 200
    assert shared.json()["probability"] == alone.json()["probability"]
    assert shared.json()["request_id"] == shared.headers["x-request-id"]
    assert shared.json()["display"] == "肺癌"
    assert refused.json()["code"] == "invalid_parameter"
