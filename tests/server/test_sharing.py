"""Workers that pass connections on to each other."""

from __future__ import annotations

import asyncio
import socket
import tempfile
from array import array
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from app.server.load_board import LoadBoard
from app.server.sharing import MAX_BEGUN_BYTES, Sharing, TakesOver

PATH = "/judge"
POST = {"path": PATH, "method": "POST"}
BEGUN = memoryview(b"POST /judge HTTP/1.1\r\n\r\n")


class TakingLoop(asyncio.SelectorEventLoop):
    """An event loop whose server keeps what it takes over, to whose end `finish` has it come."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[tuple[socket.socket, bytes]] = []
        self.accepting = True
        self.finish = asyncio.Event()
        self.finish.set()

    def accepts(self) -> bool:
        return self.accepting

    async def take_over(self, accepted: socket.socket, begun: bytes) -> None:
        self.taken.append((accepted, begun))
        await self.finish.wait()


Scenario = Callable[[TakingLoop], Coroutine[Any, Any, None]]


def play(scenario: Scenario) -> None:
    with asyncio.Runner(loop_factory=TakingLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, TakingLoop)
        runner.run(scenario(loop))
        for accepted, _ in loop.taken:
            accepted.close()


@contextmanager
def connection() -> Iterator[tuple[socket.socket, int]]:
    """A client's end, and the descriptor of the server's."""
    client, server = socket.socketpair()
    with client, server:
        client.settimeout(0)
        yield client, server.fileno()


@pytest.fixture
def board() -> Iterator[LoadBoard]:
    with tempfile.TemporaryDirectory() as folder:  # a short path: sockets have no longer ones
        yield LoadBoard(2, Path(folder))


async def started(board: LoadBoard, count: int) -> list[Sharing]:
    workers = [Sharing(board, PATH) for _ in range(count)]
    for worker in workers:
        await worker.start()
    return workers


async def turns(loop: TakingLoop, until: Callable[[], object]) -> None:
    """Let others have their turn until something holds."""
    deadline = loop.time() + 30
    while not until():
        assert loop.time() < deadline
        await asyncio.sleep(0)


def test_ranks_have_no_gap_while_workers_are_replaced_one_by_one(board: LoadBoard) -> None:
    async def scenario(_loop: TakingLoop) -> None:
        assert board.workers == 2
        workers = [Sharing(board, PATH), Sharing(board, PATH)]
        for _ in range(5):
            workers.append(Sharing(board, PATH))
            assert {worker.rank() for worker in workers} == {0, 1, 2}
            await workers.pop(0).stop()
            assert {worker.rank() for worker in workers} == {0, 1}
        for worker in workers:
            await worker.stop()

    play(scenario)


def test_next_slice_goes_to_the_worker_with_least_at_hand(board: LoadBoard) -> None:
    async def scenario(_loop: TakingLoop) -> None:
        one, other, third = await started(board, 3)
        assert one.idler() is None  # nothing to do: no reason to ask anybody
        one.publish_slices(1)
        other.publish_slices(1)
        assert one.idler() == 2
        third.publish_slices(1)
        assert one.idler() is None
        one.publish_slices(3)
        assert one.idler() == 1
        other.publish_slices(3)
        assert one.idler() == 2
        third.publish_series(2)
        assert one.idler() is None
        third.publish_series(1)
        assert one.idler() is None  # two and three: both have enough to do
        one.publish_slices(6)
        assert one.idler() == 2
        await third.stop()
        assert one.idler() is None
        await one.stop()
        await other.stop()

    play(scenario)


def test_worker_that_is_not_ready_passes_everything_on(board: LoadBoard) -> None:
    async def scenario(_loop: TakingLoop) -> None:
        loading, ready = Sharing(board, PATH), Sharing(board, PATH)
        assert loading.idler() is None
        await ready.start()
        ready.publish_slices(3)
        assert loading.idler() == 1
        await loading.start()
        assert loading.idler() is None
        await loading.stop()
        await ready.stop()

    play(scenario)


def test_worker_gets_nothing_before_its_server_listens(board: LoadBoard) -> None:
    async def scenario(loop: TakingLoop) -> None:
        (busy,) = await started(board, 1)
        busy.publish_slices(1)
        loop.accepting = False
        (replacement,) = await started(board, 1)
        assert busy.idler() is None
        loop.accepting = True
        await turns(loop, lambda: busy.idler() == 1)
        await replacement.stop()
        loop.accepting = False
        (never,) = await started(board, 1)
        await never.stop()
        loop.accepting = True
        assert busy.idler() is None
        await busy.stop()

    play(scenario)


@pytest.mark.parametrize("why", ["the name of its socket is too long", "its server takes none over"])
def test_worker_that_cannot_be_reached_gets_nothing(tmp_path: Path, board: LoadBoard, why: str) -> None:
    long = "too long" in why

    async def scenario() -> None:
        busy, other = await started(LoadBoard(2, tmp_path / ("a" * 120)) if long else board, 2)
        busy.publish_slices(1)
        assert busy.idler() is None
        await busy.stop()
        await other.stop()

    if long:
        play(lambda _: scenario())
    else:
        asyncio.run(scenario())


def test_place_of_a_dead_worker_is_given_to_the_next(board: LoadBoard) -> None:
    places = [board.join() for _ in range(4)]
    with pytest.raises(RuntimeError):
        board.join()
    board.leave(places[1])
    assert board.join() == places[1]


def test_socket_of_a_dead_worker_does_not_keep_the_next_from_listening(board: LoadBoard) -> None:
    board.socket_of(0).touch()

    async def scenario(_loop: TakingLoop) -> None:
        one, other = await started(board, 2)
        other.publish_slices(1)
        assert other.idler() == 0
        await one.stop()
        await other.stop()

    play(scenario)


def test_connection_goes_over_with_what_was_received_of_it(board: LoadBoard) -> None:
    async def scenario(loop: TakingLoop) -> None:
        passed_on: list[None] = []
        busy, other = Sharing(board, PATH, lambda: passed_on.append(None)), Sharing(board, PATH)
        await busy.start()
        await other.start()
        busy.publish_slices(1)
        with connection() as (client, descriptor):
            begun = memoryview(bytes(MAX_BEGUN_BYTES))
            assert busy.pass_on(POST, descriptor, begun)
            # It counts before the other knows of it.
            assert not busy.pass_on(POST, descriptor, begun)
            await turns(loop, lambda: loop.taken)
            ((accepted, found),) = loop.taken
            assert found == begun
            accepted.send(b"answer")
            assert client.recv(100) == b"answer"
        assert len(passed_on) == 1
        await busy.stop()
        await other.stop()

    play(scenario)


@pytest.mark.parametrize("scope", [{"path": "/other", "method": "POST"}, {"path": PATH, "method": "GET"}])
def test_other_requests_stay_where_they_are(board: LoadBoard, scope: dict[str, str]) -> None:
    async def scenario(_loop: TakingLoop) -> None:
        busy, other = await started(board, 2)
        busy.publish_slices(1)
        with connection() as (_, descriptor):
            assert not busy.pass_on(scope, descriptor, BEGUN)
        await busy.stop()
        await other.stop()

    play(scenario)


def test_worker_keeps_what_another_does_not_look_at(board: LoadBoard) -> None:
    async def scenario(loop: TakingLoop) -> None:
        busy, other = await started(board, 2)
        busy.publish_slices(10_000)
        with connection() as (_, descriptor):
            sent = 0
            while busy.pass_on(POST, descriptor, BEGUN):  # the loop does not get its turn
                sent += 1
            await turns(loop, lambda: len(loop.taken) == sent)
            assert busy.pass_on(POST, descriptor, BEGUN)
            await turns(loop, lambda: len(loop.taken) == sent + 1)
            board.socket_of(1).unlink()  # as when it has died
            assert not busy.pass_on(POST, descriptor, BEGUN)
        await busy.stop()
        await other.stop()

    play(scenario)


def test_worker_whose_server_is_ending_takes_one_and_then_none(board: LoadBoard) -> None:
    async def scenario(loop: TakingLoop) -> None:
        busy, ending = await started(board, 2)
        busy.publish_slices(9)
        loop.accepting = False
        with connection() as (_, descriptor):
            assert busy.pass_on(POST, descriptor, BEGUN)
            await turns(loop, lambda: loop.taken)
            ending.publish_slices(0)
            assert not busy.pass_on(POST, descriptor, BEGUN)
        await busy.stop()
        await ending.stop()

    play(scenario)


def test_nothing_under_way_to_a_worker_that_ends_is_lost(board: LoadBoard) -> None:
    async def scenario(loop: TakingLoop) -> None:
        busy, ending = await started(board, 2)
        busy.publish_slices(9)
        loop.finish.clear()
        # Sent by hand: by one that has looked whether it will be received, and is then held up.
        with connection() as (_, descriptor), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as outbox:
            with board.sending(0, 1) as received:
                assert received
                stop = asyncio.create_task(ending.stop())
                await asyncio.sleep(0)  # it says that it takes no more
                assert not busy.pass_on(POST, descriptor, BEGUN)
                assert not stop.done()
                what = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", [descriptor]))]
                outbox.sendmsg([BEGUN], what, 0, str(board.socket_of(1)))
            await turns(loop, lambda: loop.taken)
            assert not stop.done()
            loop.finish.set()
            await stop
        await busy.stop()
        assert len(loop.taken) == 1

    play(scenario)


def test_loop_of_these_tests_is_one_that_takes_over() -> None:
    with asyncio.Runner(loop_factory=TakingLoop) as runner:
        assert isinstance(runner.get_loop(), TakesOver)
