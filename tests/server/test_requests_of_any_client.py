"""What ordinary and odd clients send, on loopback: offers of other protocols, half-closed connections, what is none."""

from __future__ import annotations

import socket
import threading

import pytest

from app.server.half_close import BEGINNING, FIRST_WAIT_S, LONGER, AnswerAhead
from benchmarks.serving.service import PATIENCE_S
from tests.server.raw_http import LARGE, SIZES, App, Client, Clock, Wire, content, described, request

H2C = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA")
WEBSOCKET = ("Connection: keep-alive, Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
GET = "GET {} HTTP/1.1\r\nHost: x\r\n{}\r\n"


def chunked(path: str, body: bytes, *headers: str) -> bytes:
    head = "".join(f"{line}\r\n" for line in (f"POST {path} HTTP/1.1", "Host: x", *headers))
    size = max(1, len(body) // 3)
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + chunks + b"0\r\n\r\n"


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("pieces", [1, 7])
@pytest.mark.parametrize("offer", [H2C, WEBSOCKET])
def test_offer_of_another_protocol_is_ignored_and_the_body_read(
    port: int, size: int, pieces: int, offer: tuple[str, ...]
) -> None:
    body = content(size)
    with Client(port) as client:
        for sent in (request("/whole", body, *offer), chunked("/whole", body, *offer)):
            client.send(sent, pieces)
            assert client.answer()["sha256"] == described(body, "")["sha256"]
        assert client.post("/whole", content(LARGE)) == described(content(LARGE), "whole")


def test_many_offers_sent_at_once_are_answered_in_turn(port: int) -> None:
    offer = "".join(f"{line}\r\n" for line in H2C)
    with Client(port) as client:
        for _ in range(2):
            client.send(GET.format("/chunks", offer).encode() * 90 + request("/whole", content(LARGE), *H2C))
            for _ in range(90):
                assert client.answer() == described(b"", "chunks")
            assert client.answer()["sha256"] == described(content(LARGE), "")["sha256"]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("send", [request, chunked])
def test_client_that_sends_nothing_more_is_answered(port: int, size: int, send: object) -> None:
    body = content(size)
    with Client(port) as client:
        client.send(send("/whole", body))  # type: ignore[operator]  # two functions of one signature
        client.socket.shutdown(socket.SHUT_WR)
        assert client.answer()["sha256"] == described(body, "")["sha256"]
        assert client.rest() == b""


def test_client_that_sends_nothing_more_waits_for_its_answer(app_and_port: tuple[App, int]) -> None:
    app, port = app_and_port
    app.go.clear()
    with Client(port) as client:
        client.send(request("/later", b""))
        client.socket.shutdown(socket.SHUT_WR)
        assert client.socket.recv(1, socket.MSG_PEEK) == BEGINNING[:1]
        app.go.set()
        assert client.answer() == {"how": "unread"}
        assert client.rest() == b""


def test_all_that_came_before_a_client_ended_its_side_is_answered(app_and_port: tuple[App, int]) -> None:
    app, port = app_and_port
    app.go.clear()
    with Client(port) as client:
        client.send(request("/later", b"") + request("/whole", b"next") + b"POST /who")
        client.socket.shutdown(socket.SHUT_WR)
        app.go.set()
        assert client.answer() == {"how": "unread"}
        assert client.answer() == described(b"next", "chunks")
        assert client.rest() == b""


def test_client_that_ends_within_a_body_is_not_waited_for(app_and_port: tuple[App, int]) -> None:
    app, port = app_and_port
    app.left.clear()
    with Client(port) as client:
        client.send(request("/whole", content(LARGE))[:-1])
        client.socket.shutdown(socket.SHUT_WR)
        assert client.rest() == b""
    assert app.left.wait(PATIENCE_S)


def test_client_that_leaves_after_it_ended_its_side_is_noticed(app_and_port: tuple[App, int]) -> None:
    app, port = app_and_port
    app.left.clear()
    with Client(port) as client:
        client.send(request("/wait", b""))
        client.socket.shutdown(socket.SHUT_WR)
        assert client.socket.recv(1, socket.MSG_PEEK) == BEGINNING[:1]
        assert not app.left.is_set()
    assert app.left.wait(PATIENCE_S)


def test_beginning_of_an_answer_is_sent_once() -> None:
    for waited in range(len(BEGINNING) + 2):
        clock, wire = Clock(), Wire()
        ahead = AnswerAhead(wire, clock)  # type: ignore[arg-type]  # all that it asks of a loop
        for n in range(waited):
            clock.forward(FIRST_WAIT_S * LONGER**n)
        assert wire.written == BEGINNING[: 1 + waited]
        ahead.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        ahead.write(b"HTTP/1.1 200 OK\r\n\r\n")
        clock.forward(10_000)
        assert wire.written == b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"
        ahead.close()
        assert ahead.is_closing()


HOST = b"Host: x\r\n"
POST = b"POST /whole HTTP/1.1\r\n" + HOST


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"no request\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01" + bytes(100), 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"GET / HTTP/1.2\r\n" + HOST + b"\r\n", 400),
        (b"GET / HTTP/2.0\r\n" + HOST + b"\r\n", 505),
        (b"GET / HTTP/0.9\r\n\r\n", 505),
        (b"GET /\r\n\r\n", 505),
        (b"GET /\r\n", 505),
        (b"GET /\n", 505),
        (b"FOO / HTTP/1.1\r\n" + HOST + b"\r\n", 501),
        (b"get / HTTP/1.1\r\n" + HOST + b"\r\n", 501),
        (b"CONNECT x:443 HTTP/1.1\r\n" + HOST + b"\r\n", 501),
        (b"GET / HTTP/1.1\n" + b"Host: x\n\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\nA: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + HOST + b"A: b\0c\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + HOST + b" folded\r\n\r\n", 400),
        (b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"GET /\xff HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"GET /?\xff HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 400),
        (POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 400),
        (POST + b"Transfer-Encoding: gzip\r\n\r\nhello", 400),
        (POST + b"Transfer-Encoding: chunked, identity\r\n\r\nhello", 400),
        (POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n", 400),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n", 400),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 20 + b"\r\n", 400),
        (POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400),
        (POST + b"Content-Length: 5, 5\r\n\r\nhello", 400),
        (POST + b"Content-Length: +5\r\n\r\nhello", 400),
        (POST + b"Content-Length: -5\r\n\r\nhello", 400),
        (POST + b"Content-Length: " + b"9" * 30 + b"\r\n\r\nhello", 400),
    ],
)
def test_what_is_no_request_is_answered_and_the_connection_closed(port: int, sent: bytes, status: int) -> None:
    with Client(port) as client:
        client.send(sent)
        assert client.status().startswith(b"HTTP/1.1 %d " % status)
        assert client.rest().endswith(b"connection: close\r\n\r\n{}")


def test_requests_before_what_is_none_are_answered_first(app_and_port: tuple[App, int]) -> None:
    app, port = app_and_port
    app.go.clear()
    threading.Timer(0, app.go.set).start()
    broken = b"POST /whole HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
    with Client(port) as client:
        client.send(request("/later", b"") + request("/whole", b"next") + broken)
        assert client.answer() == {"how": "unread"}
        assert client.answer() == described(b"next", "chunks")
        assert client.rest() == b""


@pytest.mark.parametrize(
    ("target", "how"), [("http://y/chunks", "chunks"), ("http://y/chunks?a=b", "chunks"), ("http://y", "unread")]
)
def test_target_may_be_a_whole_url(port: int, target: str, how: str) -> None:
    with Client(port) as client:
        client.send(GET.format(target, "").encode())
        assert client.answer()["how"] == how


def test_older_client_is_not_told_to_continue(port: int) -> None:
    sent = request("/chunks", b"body", "Expect: 100-continue").replace(b"HTTP/1.1", b"HTTP/1.0")
    with Client(port) as client:
        client.send(sent[:-4])
        client.send(sent[-4:])
        assert client.answer() == described(b"body", "chunks")
