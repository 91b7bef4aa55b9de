"""How much of a request's head, of its trailers and of its chunks' sizes is read, on loopback and under each event
loop."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from app.server.bounds import ConnectionBounds
from app.server.http_protocol import HEADERS_BYTES
from tests.server.raw_http import App, Client, content, described, request, serving

BOUNDS = ConnectionBounds(head_bytes=32 * 1024, head_lines=20, target_bytes=4096)
HEAD = b"POST /chunks HTTP/1.1\r\nHost: x\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
BEYOND = BOUNDS.head_bytes + 2 * HEADERS_BYTES  # what is read at once may be read of what is too much


@pytest.fixture(scope="module", params=["uvloop", "asyncio"])
def bounded(request: pytest.FixtureRequest) -> Iterator[int]:
    """A port with these bounds."""
    with serving(App(BOUNDS), request.param) as port:
        yield port


def many(lines: int, size: int = 1) -> bytes:
    return b"".join(b"a%d: %b\r\n" % (n, b"b" * size) for n in range(lines))


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        pytest.param(HEAD + many(BOUNDS.head_lines + 1), 431, id="many headers"),
        pytest.param(HEAD + many(10, 4000), 431, id="large headers"),
        pytest.param(HEAD + b"a: " + b"b" * BEYOND, 431, id="a value without end"),
        pytest.param(HEAD + b"a" * BEYOND, 431, id="a name without end"),
        pytest.param(b"POST /" + b"a" * BOUNDS.target_bytes, 414, id="a target without end"),
        pytest.param(b"POST /" + b"a" * BOUNDS.target_bytes + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414, id="a long target"),
        pytest.param(CHUNKED + b"1\r\nx\r\n0\r\n" + many(BOUNDS.head_lines + 2), 431, id="many trailers"),
        pytest.param(CHUNKED + b"1\r\nx\r\n0\r\na: " + b"b" * 5 * BEYOND, 431, id="a trailer without end"),
        pytest.param(CHUNKED + b"1;" + b"a=b;" * 2 * BEYOND, 431, id="an extension of a chunk without end"),
        pytest.param(b"\r\n" * BEYOND, 431, id="empty lines without end"),
    ],
)
def test_head_beyond_its_bounds_is_refused_and_the_connection_closed(bounded: int, sent: bytes, status: int) -> None:
    with Client(bounded) as client:
        client.send(sent)
        assert client.status().startswith(b"HTTP/1.1 %d " % status)
        assert b"connection: close\r\n" in client.rest()


@pytest.mark.parametrize("pieces", [1, 7])
def test_head_within_its_bounds_is_read(bounded: int, pieces: int) -> None:
    body = content(200_000)
    lines = many(BOUNDS.head_lines - 2, 1500)
    with Client(bounded) as client:
        for _ in range(2):  # of the next request it counts from nothing
            client.send(b"%b%bContent-Length: %d\r\n\r\n" % (HEAD, lines, len(body)), pieces)
            client.send(body)
            assert client.answer()["sha256"] == described(body, "chunks")["sha256"]


def test_trailers_are_dropped(bounded: int) -> None:
    """They are no headers of the request (RFC 9110 6.5.1)."""
    with Client(bounded) as client:
        for _ in range(2):
            client.send(CHUNKED + b"1;a=b\r\nx\r\n0\r\n" + many(BOUNDS.head_lines - 1) + b"\r\n")
            assert client.answer() == described(b"x", "chunks")


def test_small_chunks_are_no_head(bounded: int) -> None:
    body = content(3 * BEYOND)
    chunks = b"".join(b"1;a=b\r\n%c\r\n" % byte for byte in body)
    with Client(bounded) as client:
        client.send(CHUNKED + chunks + b"0\r\n\r\n")
        assert client.answer() == described(body, "chunks")
        assert client.post("/chunks", body)["sha256"] == described(body, "chunks")["sha256"]


def test_request_before_too_large_a_head_is_answered(bounded: int) -> None:
    with Client(bounded) as client:
        client.send(request("/chunks", b"first") + HEAD + many(BOUNDS.head_lines + 1))
        assert client.answer() == described(b"first", "chunks")
