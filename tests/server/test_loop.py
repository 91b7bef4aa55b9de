"""Connections that one server passes on and another takes over, on loopback and on either event loop."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import os
import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from app.server.hooks import PASS_ON
from app.server.http_protocol import HEADERS_BYTES
from app.server.loop import AsyncioLoop, ServerLoop
from app.server.whole_body import PIECE_BYTES
from benchmarks.serving.service import PATIENCE_S, eventually
from tests.server.raw_http import (
    LARGE,
    LONG_BYTES,
    SIZES,
    App,
    Client,
    Receive,
    Scope,
    Send,
    config_of,
    content,
    described,
    request,
)

ON = "Pass: on"


class Taker(App):
    """What takes connections over: says so in its answers."""

    def __init__(self) -> None:
        super().__init__()
        self.loop: ServerLoop | AsyncioLoop
        self.over: list[asyncio.Task[None]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            loop = asyncio.get_running_loop()
            assert isinstance(loop, ServerLoop | AsyncioLoop)
            self.loop = loop
            await super().__call__(scope, receive, send)
            return

        async def signed(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"].append((b"taken-over", b"yes"))
            await send(message)

        await super().__call__(scope, receive, signed)

    def take(self, connection: int, begun: bytes) -> None:
        accepted = socket.socket(fileno=os.dup(connection))
        accepted.setblocking(False)
        self.over.append(self.loop.create_task(self.loop.take_over(accepted, begun)))

    def end(self) -> None:
        """Have its server take no new connections, as when it ends."""
        assert self.loop._server is not None
        self.loop.call_soon_threadsafe(self.loop._server.close)


class Passer(App):
    """Passes every request that says so to the taker."""

    def __init__(self, taker: Taker) -> None:
        super().__init__()
        self._taker = taker

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            scope["state"][PASS_ON] = self.pass_on
        await super().__call__(scope, receive, send)

    def pass_on(self, scope: Scope, connection: int, begun: memoryview) -> bool:
        assert scope["method"] == "POST"
        if dict(scope["headers"]).get(b"pass") != b"on":
            return False
        self._taker.take(connection, bytes(begun))
        return True


@contextmanager
def passing(taker: Taker, loop_factory: Callable[[], ServerLoop | AsyncioLoop]) -> Iterator[int]:
    """The port of a server that passes connections to the taker, on the same event loop: a process has one."""
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        servers = [uvicorn.Server(config_of(app, "none")) for app in (Passer(taker), taker)]
        started = threading.Event()

        async def serve() -> None:
            async with asyncio.TaskGroup() as group:
                for server, listening in zip(servers, (one, other), strict=True):
                    group.create_task(server.serve([listening]))
                    while not server.started:
                        await asyncio.sleep(0)
                started.set()

        def run() -> None:
            with asyncio.Runner(loop_factory=loop_factory) as runner:
                runner.run(serve())

        thread = threading.Thread(target=run)
        thread.start()
        try:
            assert started.wait(PATIENCE_S)
            yield one.getsockname()[1]
        finally:
            for server in servers:
                server.should_exit = True
            thread.join(PATIENCE_S)


@pytest.fixture(params=[ServerLoop, AsyncioLoop])
def taker_and_port(request: pytest.FixtureRequest) -> Iterator[tuple[Taker, int]]:
    taker = Taker()
    with passing(taker, request.param) as port:
        yield taker, port


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("pieces", [1, 7])
def test_connection_goes_to_another_server_and_stays_there(
    taker_and_port: tuple[Taker, int], size: int, pieces: int
) -> None:
    _, port = taker_and_port
    body, large = content(size), content(LARGE, seed=1)
    with Client(port) as client:
        client.post("/whole", large)
        assert not client.taken_over()
        head = request("/whole", body, ON)[: -size or None]
        client.send(head)
        client.send(body, pieces)
        assert client.answer() == described(body, "whole" if size > HEADERS_BYTES else "chunks")
        assert client.taken_over()
        assert client.post("/whole", large) == described(large, "whole")
        assert client.taken_over()


@given(
    sent=st.lists(
        st.tuples(
            st.sampled_from(["/whole", "/chunks", "/first", "/unread"]),
            st.sampled_from([LARGE, *SIZES]),
            st.booleans(),
        ),
        max_size=5,
    ),
    cuts=st.lists(st.floats(0, 1), max_size=6),
)
@hypothesis_settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_any_requests_in_any_pieces_are_answered_in_turn_by_one_server_or_another(
    taker_and_port: tuple[Taker, int], sent: list[tuple[str, int, bool]], cuts: list[float]
) -> None:
    _, port = taker_and_port
    data = b"".join(
        request(path, content(size, seed=n), *([ON] if on else [])) for n, (path, size, on) in enumerate(sent)
    )
    with Client(port) as client:
        for start, stop in itertools.pairwise(sorted([0, *(int(cut * len(data)) for cut in cuts), len(data)])):
            client.send(data[start:stop])
        answers = [client.answer() for _ in sent]
    for n, ((path, size, _on), answer) in enumerate(zip(sent, answers, strict=True)):
        if path in ("/whole", "/chunks"):
            assert answer["sha256"] == hashlib.sha256(content(size, seed=n)).hexdigest()
        else:
            assert answer["how"] in ("first chunk", "unread")


def test_request_whose_headers_came_in_two_reads_stays(taker_and_port: tuple[Taker, int]) -> None:
    _, port = taker_and_port
    sent = request("/whole", content(LARGE), ON)
    with Client(port) as client, Client(port) as other:
        client.send(sent[:20])
        other.post("/unread", b"")  # now they have been read
        client.send(sent[20:])
        assert client.answer() == described(content(LARGE), "whole")
        assert not client.taken_over()
        client.send(sent)
        assert client.answer() == described(content(LARGE), "whole")
        assert client.taken_over()


def test_request_that_comes_while_the_last_answer_is_being_written_stays(taker_and_port: tuple[Taker, int]) -> None:
    _, port = taker_and_port
    with Client(port) as client, Client(port) as other:
        client.send(request("/long", b""))
        client.socket.recv(1, socket.MSG_PEEK)  # it is being written
        client.send(request("/whole", content(LARGE), ON)[:-LARGE])
        other.post("/unread", b"")  # now the second request has been read
        assert len(client.answer()["padding"]) == LONG_BYTES
        client.send(content(LARGE))
        assert client.answer() == described(content(LARGE), "whole")
        assert not client.taken_over()
        client.send(request("/whole", content(LARGE), ON))
        assert client.answer() == described(content(LARGE), "whole")
        assert client.taken_over()


def test_request_that_came_with_the_one_before_stays(taker_and_port: tuple[Taker, int]) -> None:
    _, port = taker_and_port
    with Client(port) as client:
        client.send(request("/unread", b"first") + request("/whole", content(LARGE), ON))
        assert client.answer() == {"how": "unread"}
        assert client.answer() == described(content(LARGE), "chunks")
        assert not client.taken_over()


def test_requests_that_come_at_once_go_over_together(taker_and_port: tuple[Taker, int]) -> None:
    _, port = taker_and_port
    bodies = [content(size, seed=size) for size in (5, 7, LARGE)]
    with Client(port) as client:
        client.send(b"".join(request("/whole", body, ON) for body in bodies))
        for body in bodies:
            assert client.answer()["sha256"] == hashlib.sha256(body).hexdigest()
            assert client.taken_over()


@pytest.mark.parametrize("size", SIZES)
def test_offers_of_another_protocol_go_over_with_the_connection(taker_and_port: tuple[Taker, int], size: int) -> None:
    _, port = taker_and_port
    offer = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAM")
    bodies = [content(3), content(size, seed=1), content(LARGE)]
    with Client(port) as client:
        client.send(b"".join(request("/whole", body, ON, *offer) for body in bodies))
        for body in bodies:
            assert client.answer()["sha256"] == hashlib.sha256(body).hexdigest()
            assert client.taken_over()


def test_what_is_no_request_goes_over_with_the_connection_and_is_answered_there(
    taker_and_port: tuple[Taker, int],
) -> None:
    _, port = taker_and_port
    with Client(port) as client:
        client.send(request("/whole", b"first", ON) + b"no request\r\n\r\n")
        assert client.answer() == described(b"first", "chunks")
        assert client.taken_over()
        assert client.rest() == b""


def test_client_that_sends_nothing_more_is_answered_by_the_server_that_took_the_connection(
    taker_and_port: tuple[Taker, int],
) -> None:
    _, port = taker_and_port
    with Client(port) as client:
        client.send(request("/whole", content(LARGE), ON))
        client.socket.shutdown(socket.SHUT_WR)
        assert client.answer() == described(content(LARGE), "whole")
        assert client.taken_over()
        assert client.rest() == b""


def test_body_is_asked_for_by_the_server_that_takes_the_connection(taker_and_port: tuple[Taker, int]) -> None:
    _, port = taker_and_port
    body = content(LARGE)
    sent = request("/whole", body, ON, "Expect: 100-continue")
    with Client(port) as client:
        client.send(sent[: -len(body)])
        assert client.socket.recv(1024) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(body)
        assert client.answer() == described(body, "whole")
        assert client.taken_over()


def test_client_who_leaves_is_noticed_by_the_server_that_took_the_connection(
    taker_and_port: tuple[Taker, int],
) -> None:
    taker, port = taker_and_port
    with Client(port) as client:
        client.send(request("/whole", content(PIECE_BYTES), ON)[:-1])
    assert taker.left.wait(PATIENCE_S)
    (over,) = taker.over
    eventually(over.done)


def test_body_that_nobody_asked_for_yet_stays_in_the_socket(taker_and_port: tuple[Taker, int]) -> None:
    taker, port = taker_and_port
    left = memoryview(request("/later", bytes(64_000_000), ON))
    with Client(port) as client:
        client.socket.setblocking(False)
        while select.select([], [client.socket], [], 1)[1]:  # until both sockets are full
            left = left[client.socket.send(left) :]
        assert len(left) > 32_000_000
        client.socket.settimeout(PATIENCE_S)
        taker.go.set()
        assert client.answer() == {"how": "unread"}
        client.socket.sendall(left)
        assert client.post("/whole", b"next") == described(b"next", "chunks")


def test_connection_that_comes_at_the_end_is_answered_once(taker_and_port: tuple[Taker, int]) -> None:
    taker, port = taker_and_port
    taker.end()
    body = content(LARGE)
    with Client(port) as client:
        client.send(request("/whole", body, ON))
        assert client.answer() == described(body, "whole")
        assert client.taken_over()
        assert client.headers[b"connection"] == b"close"
        assert client.socket.recv(1) == b""
    (over,) = taker.over
    eventually(over.done)
