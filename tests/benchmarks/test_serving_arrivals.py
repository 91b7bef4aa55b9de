"""The load generator's accounting, against a server in the same event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks.serving.arrivals import Answer, Generator, Tally, Task, quantiles, read_head
from benchmarks.serving.trivial import Trivial, content_length

BODY = b"x" * 100_000
REQUEST = b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
REFUSAL = b"HTTP/1.1 503 Busy\r\nretry-after: %g\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Refusing(asyncio.Protocol):
    """Refuses at the first bytes, as an overloaded server may, and hangs up."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, _data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(REFUSAL % 0.05)
            self._transport.close()


@asynccontextmanager
async def listening(protocol: type[asyncio.Protocol]) -> AsyncIterator[int]:
    async with await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


def tally_of(protocol: type[asyncio.Protocol], *, rate: float = 0.0, clients: int = 0) -> Tally:
    async def play() -> Tally:
        async with listening(protocol) as port:
            return await Generator(Task(port, "", 0.5, rate=rate, clients=clients), REQUEST).run()

    return asyncio.run(play())


def test_every_arrival_is_answered_or_accounted_for() -> None:
    found = tally_of(Trivial, rate=100)
    assert sum(found.answers.values()) + found.unsent == 50
    assert found.answers[200] > 0
    assert found.goodput == found.answers[200] / 0.5


def test_a_refusal_ahead_of_the_whole_request_is_an_answer() -> None:
    found = tally_of(Refusing, rate=40)
    assert sum(found.answers.values()) == 20
    assert found.goodput == 0


def test_clients_wait_as_they_are_told() -> None:
    found = tally_of(Refusing, clients=2)
    assert 1 <= sum(found.answers.values()) <= 2 * 10


def test_nobody_listening_is_a_broken_connection() -> None:
    async def play() -> Tally:
        async with listening(Trivial) as port:
            pass
        return await Generator(Task(port, "", 0.1, rate=50), REQUEST).run()

    assert asyncio.run(play()).answers == {0: 5}


def test_a_head_is_read() -> None:
    head = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 2\r\nContent-Length: 17\r\nConnection: close"
    assert read_head(head) == (Answer(503, 2.0), 17, True)
    assert read_head(b"HTTP/1.1 200 OK\r\ncontent-length: 2") == (Answer(200), 2, False)
    assert content_length(b"POST / HTTP/1.1\r\nHost: x\r\nCONTENT-LENGTH: 12") == 12


def test_quantiles_are_milliseconds() -> None:
    assert quantiles([0.001] * 100) == {"p50": 1.0, "p90": 1.0, "p99": 1.0, "max": 1.0}
    assert quantiles([]) == {}
