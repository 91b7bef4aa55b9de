"""How long a connection may let the service wait, and how many may be open: on a clock set forward by hand."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from uvicorn.server import ServerState

from app.server.bounds import ConnectionBounds
from app.server.connection import Connection
from app.server.connections import LOOK_S, Connections, Reason
from app.server.hooks import CONNECTIONS, MALFORMED, WANTS_WHOLE_BODY
from tests.server.raw_http import App, Clock, Wire, config_of

BOUNDS = ConnectionBounds(head_s=10, idle_s=60, patience_s=30, min_rate=1000, connections=4, connections_of_address=3)
HEAD = b"POST /wait HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n"


class Loop(Clock):
    """Starts the application for a request, and runs none of it."""

    def __init__(self) -> None:
        super().__init__()
        self.started: list[Any] = []

    def create_task(self, work: Any, **_: Any) -> asyncio.Future[None]:
        work.close()
        self.started.append(work)
        return Future()


class Future(asyncio.Future[None]):
    def __init__(self) -> None:
        pass

    def add_done_callback(self, *_: Any, **__: Any) -> None:
        pass

    def __hash__(self) -> int:
        return id(self)


class Opened:
    """One connection of a server."""

    def __init__(self, server: Server, address: str) -> None:
        self.wire = Wire(address)
        self.connection = Connection(
            config=config_of(server.app, "asyncio", keep_alive_s=3600),
            server_state=ServerState(),
            app_state={
                MALFORMED: server.app.malformed,
                CONNECTIONS: server.connections,
                WANTS_WHOLE_BODY: True,
            },
            _loop=server.loop,
        )
        self.connection.connection_made(self.wire)

    def send(self, data: bytes) -> None:
        buffer = self.connection.get_buffer(-1)
        buffer[: len(data)] = data
        self.connection.buffer_updated(len(data))

    @property
    def how(self) -> str:
        if not self.wire.is_closing():
            return "open"
        status = self.wire.written.split(b" ")[1].decode() if self.wire.written else "closed"
        return "aborted" if self.wire.aborted else status


class Server:
    def __init__(self, bounds: ConnectionBounds = BOUNDS) -> None:
        self.app, self.loop = App(), Loop()
        self.reasons: list[Reason] = []
        self.connections = Connections(bounds, self.reasons.append)

    def open(self, address: str = "192.0.2.1") -> Opened:
        return Opened(self, address)

    def forward(self, seconds: float) -> None:
        for _ in range(int(seconds / LOOK_S)):
            self.loop.forward(LOOK_S)


def answered(opened: Opened) -> None:
    """End the answer to its request."""
    http = opened.connection._http
    http.cycle.response_started = http.cycle.response_complete = True
    http.on_response_complete()


@pytest.mark.parametrize(
    ("sent", "after_s", "how", "reason"),
    [
        pytest.param(b"", 10, "closed", "head", id="nothing"),
        pytest.param(b"POST", 10, "408", "head", id="half a line"),
        pytest.param(HEAD, 10, "408", "head", id="half a head"),
    ],
)
def test_head_that_does_not_come_closes_the_connection(sent: bytes, after_s: int, how: str, reason: Reason) -> None:
    server = Server()
    opened = server.open()
    if sent:
        opened.send(sent)
    server.forward(after_s)
    assert opened.how == "open"
    server.forward(2 * LOOK_S)
    assert (opened.how, server.reasons) == (how, [reason])
    assert len(server.connections) == 0


def test_byte_after_byte_of_a_head_gains_no_time() -> None:
    server = Server()
    opened = server.open()
    for byte in HEAD[:12]:
        opened.send(bytes([byte]))
        server.forward(1)
    assert opened.how == "408"


def test_body_is_left_to_the_application_which_has_patience_of_its_own() -> None:
    server = Server()
    opened = server.open()
    opened.send(HEAD + b"\r\n")
    server.forward(600)
    assert opened.how == "open"


def test_idle_connection_closes_even_when_it_sends_empty_lines() -> None:
    server = Server()
    opened = server.open()
    opened.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    answered(opened)
    for _ in range(58):
        opened.send(b"\r\n")
        server.forward(1)
    assert opened.how == "open"
    server.forward(4)
    assert (opened.how, server.reasons) == ("closed", ["next"])


@pytest.mark.parametrize(("bytes_a_second", "how"), [(10, "aborted"), (2000, "open")])
def test_rest_of_a_body_after_its_answer_keeps_its_pace(bytes_a_second: int, how: str) -> None:
    server = Server()
    opened = server.open()
    opened.send(HEAD.replace(b"100000", b"10000000") + b"\r\n")
    answered(opened)
    for _ in range(40):
        opened.send(bytes(bytes_a_second))
        server.forward(1)
    assert opened.how == how


@pytest.mark.parametrize(("bytes_a_second", "how"), [(10, "aborted"), (2000, "open")])
def test_who_takes_an_answer_keeps_its_pace(bytes_a_second: int, how: str) -> None:
    server = Server()
    opened = server.open()
    opened.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    opened.wire.waiting_bytes = 200_000
    for _ in range(60):
        opened.wire.waiting_bytes -= bytes_a_second
        server.forward(1)
    assert opened.how == how
    assert server.reasons == (["taking"] if how == "aborted" else [])


def test_answer_that_is_replaced_while_it_is_taken_is_no_pause() -> None:
    """Of one that is written piece by piece as much always waits."""
    server = Server()
    opened = server.open()
    opened.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    opened.wire.waiting_bytes = 60_000
    for second in range(300):
        if not second % 30:
            opened.connection.pause_writing()
            opened.connection.resume_writing()
        server.forward(1)
    assert opened.how == "open"


def test_who_has_let_the_service_wait_longest_makes_room() -> None:
    server = Server()
    at_work, idle = server.open("192.0.2.2"), server.open()
    at_work.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    server.forward(1)
    slow = server.open()
    slow.send(HEAD + b"\r\n")
    server.forward(1)
    opened = (at_work, idle, slow, server.open("192.0.2.3"), server.open("192.0.2.4"))
    assert [each.how for each in opened] == ["open", "closed", "open", "open", "open"]


def test_who_has_most_connections_makes_room() -> None:
    server = Server()
    first = server.open("192.0.2.2")
    server.forward(1)
    several = [server.open() for _ in range(3)]
    new = server.open("192.0.2.3")
    assert (first.how, new.how) == ("open", "open"), "another address has more"
    assert sum(each.how == "open" for each in several) == 2


def test_one_address_cannot_have_all() -> None:
    server = Server()
    opened = []
    for _ in range(4):
        opened.append(server.open())
        server.forward(1)
    assert [each.how for each in opened] == ["closed", "open", "open", "open"]


@pytest.mark.parametrize(("addresses", "status"), [(1, "429"), (4, "503")])
def test_where_all_are_at_work_a_further_connection_is_refused(addresses: int, status: str) -> None:
    server = Server()
    for n in range(3 if addresses == 1 else 4):
        server.open(f"192.0.2.{n % addresses}").send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    refused = server.open("192.0.2.0" if addresses == 1 else "192.0.2.77")
    assert refused.how == status
    started = len(server.loop.started)
    refused.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert len(server.loop.started) == started


def test_log_says_once_why_connections_are_closed(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    server = Server()
    for _ in range(50):
        server.open()
    server.forward(20)
    assert [record.message.split(":")[0].split(";")[0] for record in caplog.records] == [
        "as many connections are open as may be (LUNGSCOPE_MAX_CONNECTIONS, _PER_ADDRESS, open files)",
        "connections are closed whose request did not come within LUNGSCOPE_HEADER_SECONDS",
    ]


def test_connection_that_has_closed_is_forgotten() -> None:
    server = Server()
    opened = server.open()
    assert len(server.connections) == 1
    opened.connection.connection_lost(None)
    assert len(server.connections) == 0
