"""The server's own HTTP protocol, on loopback, under an application that says what it received."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import itertools
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from uvicorn.server import ServerState

from app.server.connection import Connection
from app.server.hooks import EARLY_ANSWER, WANTS_WHOLE_BODY
from app.server.http_protocol import HEADERS_BYTES
from app.server.whole_body import PIECE_BYTES, SCRATCH, Body
from benchmarks.serving.service import PATIENCE_S
from tests.server.raw_http import (
    LARGE,
    SIZES,
    App,
    Client,
    Clock,
    Wire,
    config_of,
    content,
    described,
    request,
    serving,
)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("pieces", [1, 7])
def test_body_arrives_as_it_was_sent(port: int, size: int, pieces: int) -> None:
    body = content(size)
    with Client(port) as client:
        for _ in range(2):  # the connection is in order afterwards
            answer = client.post("/whole", body, pieces)
            assert answer == described(body, "whole" if size > HEADERS_BYTES else "chunks")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("path", ["/chunks", "/first", "/unread"])
def test_body_need_not_be_taken_whole_or_at_all(port: int, path: str, size: int) -> None:
    with Client(port) as client:
        first = client.post(path, content(size, seed=1))
        if path == "/chunks":
            assert first == described(content(size, seed=1), "chunks")
        # What nobody took is not mistaken for the next request.
        assert client.post("/whole", content(LARGE)) == described(content(LARGE), "whole")


@pytest.mark.parametrize("size", [100, HEADERS_BYTES, PIECE_BYTES])
@pytest.mark.parametrize("path", ["/whole", "/chunks", "/first", "/unread", "/refused"])
def test_nothing_of_a_request_stays_in_the_buffer_of_all_connections(port: int, path: str, size: int) -> None:
    name = b"NOBODY^CANARY"
    with Client(port) as client:
        client.post(path, (name * (size // len(name) + 1))[:size])
        client.post("/whole", b"")  # whatever came after the answer has been dropped by now
        assert name not in bytes(SCRATCH)


def test_rest_of_a_body_that_was_given_up_is_dropped(port: int) -> None:
    sent = request("/given-up", content(PIECE_BYTES))
    with Client(port) as client:
        client.send(sent[:-10])
        assert client.answer() == {"how": "given up", "all there": False}
        client.send(sent[-10:])
        assert client.post("/whole", content(LARGE)) == described(content(LARGE), "whole")


def test_requests_sent_at_once_are_answered_in_turn(port: int) -> None:
    bodies = [content(size, seed=size) for size in (LARGE, PIECE_BYTES, 3, LARGE)]
    with Client(port) as client:
        client.send(b"".join(request("/whole", body) for body in bodies))
        answers = [client.answer() for _ in bodies]
    assert [answer["sha256"] for answer in answers] == [hashlib.sha256(body).hexdigest() for body in bodies]


@given(
    sent=st.lists(
        st.tuples(st.sampled_from(["/whole", "/chunks", "/first", "/unread", "/refused"]), st.sampled_from(SIZES)),
        max_size=5,
    ),
    cuts=st.lists(st.floats(0, 1), max_size=6),
)
@hypothesis_settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_any_requests_in_any_pieces_are_answered_in_turn(
    port: int, sent: list[tuple[str, int]], cuts: list[float]
) -> None:
    data = b"".join(request(path, content(size, seed=n)) for n, (path, size) in enumerate(sent))
    with Client(port) as client:
        for start, stop in itertools.pairwise(sorted([0, *(int(cut * len(data)) for cut in cuts), len(data)])):
            client.send(data[start:stop])
        answers = [client.answer() for _ in sent]
    for n, ((path, size), answer) in enumerate(zip(sent, answers, strict=True)):
        if path in ("/whole", "/chunks"):
            assert answer["sha256"] == hashlib.sha256(content(size, seed=n)).hexdigest()
        else:
            assert answer["how"] in ("first chunk", "unread", "refused")


@pytest.mark.parametrize("size", [LARGE, 3 * PIECE_BYTES + 7])
@pytest.mark.parametrize("pieces", [1, 7])
def test_request_is_refused_before_its_body_comes_and_the_body_is_dropped(port: int, size: int, pieces: int) -> None:
    sent = request("/refused", content(size))
    with Client(port) as client:
        for _ in range(2):
            client.send(sent[:-size])
            assert client.answer() == {"how": "refused", "length": size, "method": "POST"}
            client.send(sent[-size:], pieces)
            assert client.post("/whole", content(LARGE)) == described(content(LARGE), "whole")


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(request("/refused", content(HEADERS_BYTES)), id="small"),
        pytest.param(request("/refused", content(LARGE), "Connection: close"), id="the last of its connection"),
        pytest.param(request("/refused", content(LARGE), "Expect: 100-continue"), id="asks whether to send its body"),
        pytest.param(
            request("/refused", content(LARGE), "Connection: keep-alive").replace(b"HTTP/1.1", b"HTTP/1.0"),
            id="of another version",
        ),
        pytest.param(
            b"POST /refused HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n"
            % (LARGE, content(LARGE)),
            id="of unknown length",
        ),
    ],
)
def test_other_requests_reach_the_application_before_they_are_refused(port: int, sent: bytes) -> None:
    with Client(port) as client:
        client.send(sent[:HEADERS_BYTES])  # a connection that is closed with bytes unread may take the answer along
        assert client.answer() == {"how": "unread"}


@pytest.mark.parametrize("path", ["/refused", "/unread"])
def test_connection_is_closed_when_the_rest_of_an_unwanted_body_does_not_come(path: str) -> None:
    sent = request(path, content(PIECE_BYTES))
    with serving(App(), "uvloop", keep_alive_s=1) as port, Client(port) as client:
        client.send(sent[:LARGE])
        client.answer()
        client.send(sent[LARGE:-1])
        with suppress(ConnectionResetError):
            assert client.socket.recv(1) == b""


def test_who_goes_on_sending_what_is_not_wanted_has_as_long_for_each_piece() -> None:
    app, clock, wire = App(), Clock(), Wire()
    connection = Connection(
        config=config_of(app, "asyncio", keep_alive_s=5),
        server_state=ServerState(),
        app_state={EARLY_ANSWER: app.refuse, WANTS_WHOLE_BODY: True},
        _loop=clock,
    )
    connection.connection_made(wire)
    sent = memoryview(request("/refused", content(4 * HEADERS_BYTES)))
    while sent:
        assert not wire.is_closing()
        buffer = connection.get_buffer(-1)
        count = min(len(buffer), len(sent), HEADERS_BYTES)
        buffer[:count], sent = sent[:count], sent[count:]
        connection.buffer_updated(count)
        clock.forward(4)
    assert b'"refused"' in wire.written
    assert not wire.is_closing()
    clock.forward(1)
    assert wire.is_closing()


def test_body_of_unknown_length_comes_in_chunks(port: int) -> None:
    body = content(LARGE)
    head = b"POST /whole HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    with Client(port) as client:
        for _ in range(2):
            client.send(b"%s%x\r\n%s\r\n0\r\n\r\n" % (head, len(body), body))
            assert client.answer() == described(body, "chunks")


def test_body_is_asked_for_before_it_is_sent(port: int) -> None:
    body = content(LARGE)
    sent = request("/whole", body, "Expect: 100-continue")
    with Client(port) as client:
        client.send(sent[: -len(body)])
        assert client.socket.recv(1024) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(body)
        assert client.answer() == described(body, "whole")


def test_what_is_no_request_is_refused_also_after_a_body(port: int) -> None:
    with Client(port) as client:
        client.post("/whole", content(LARGE))
        client.send(b"no request\r\n\r\n")
        assert client.status().startswith(b"HTTP/1.1 400 ")


def test_client_who_leaves_is_noticed_and_nothing_of_the_body_kept(app_and_port: tuple[App, int]) -> None:
    app, port = app_and_port
    app.left.clear()
    gc.disable()
    try:
        with Client(port) as client:
            client.send(request("/whole", content(PIECE_BYTES))[:-1])
        assert app.left.wait(PATIENCE_S)
        with Client(port) as client:
            client.post("/whole", content(LARGE))
            client.post("/unread", b"")  # the one before is over
            assert len(app.buffers) >= 2
            assert not any(buffer() is not None for buffer in app.buffers)
    finally:
        gc.enable()


def test_client_who_leaves_a_request_at_work_is_noticed_also_when_another_was_sent(
    app_and_port: tuple[App, int],
) -> None:
    app, port = app_and_port
    app.left.clear()
    with Client(port) as client:
        client.send(request("/wait", b"") + request("/whole", b"next"))
    assert app.left.wait(PATIENCE_S)


def test_client_who_leaves_after_the_body_is_noticed(app_and_port: tuple[App, int]) -> None:
    app, port = app_and_port
    app.left.clear()
    app.took.clear()
    with Client(port) as client:
        client.send(request("/left", content(LARGE)))
        assert app.took.wait(PATIENCE_S)
        assert not app.left.is_set()
    assert app.left.wait(PATIENCE_S)


def test_announced_body_that_waits_stays_in_the_socket(port: int) -> None:
    """A body of any size is announced; memory is given for what the application asks for."""
    with Client(port) as client:
        client.send(b"POST /unread HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000000000\r\n\r\n")
        assert client.answer() == {"how": "unread"}


def test_event_loop_of_two_connections_keeps_their_bodies_apart(port: int) -> None:
    one, other = request("/whole", content(LARGE, seed=1)), request("/whole", content(LARGE, seed=2))
    half = len(one) // 2
    with Client(port) as first, Client(port) as second:
        first.send(one[:half])
        second.send(other[:half])
        second.send(other[half:])
        assert second.answer() == described(content(LARGE, seed=2), "whole")
        first.send(one[half:])
        assert first.answer() == described(content(LARGE, seed=1), "whole")


def test_offer_can_be_waited_for_again() -> None:
    async def scenario() -> bool:
        body = Body(1, lambda: None)
        with body.into(memoryview(bytearray(1))):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0):
                    await body.arrived()
            body.received = 1
            body.end()
            return await body.arrived()

    assert asyncio.run(scenario())
