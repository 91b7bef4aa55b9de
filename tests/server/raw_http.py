"""A server with our HTTP protocol on loopback, an application that says what it received, and a client of raw bytes;
a clock and a transport for what is asked of the protocol alone."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import socket
import threading
import weakref
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, cast

import numpy as np
import uvicorn
from numpy.typing import NDArray

from app.server.bounds import ConnectionBounds
from app.server.connections import Connections
from app.server.hooks import CONNECTIONS, EARLY_ANSWER, MALFORMED, WANTS_WHOLE_BODY, WHOLE_BODY, EarlyAnswer
from app.server.http_protocol import HEADERS_BYTES
from app.server.whole_body import PIECE_BYTES
from benchmarks.serving.service import PATIENCE_S

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
LARGE = HEADERS_BYTES + 1
LONG_BYTES = 32_000_000  # more than the sockets of both sides hold
SIZES = (0, 1, HEADERS_BYTES, LARGE, PIECE_BYTES, 3 * PIECE_BYTES + 7)


class App:
    """Answers with length and digest of the body, and how it was received; the path says what to do with it."""

    def __init__(self, bounds: ConnectionBounds | None = None) -> None:
        self._bounds = bounds
        self.left = threading.Event()
        self.took = threading.Event()
        self.go = threading.Event()
        self.buffers: list[weakref.ref[NDArray[np.uint8]]] = []

    def refuse(self, scope: Scope, length: int) -> EarlyAnswer | None:
        """Of `/refused`, whose body is not wanted."""
        if scope["path"] != "/refused":
            return None
        body = json.dumps({"how": "refused", "length": length, "method": scope["method"]}).encode()
        return EarlyAnswer(200, b"content-length: %d\r\n" % len(body), body)

    def malformed(self, status: HTTPStatus) -> EarlyAnswer:
        """What is said to what is no request."""
        return EarlyAnswer(status, b"content-length: 2\r\n", b"{}")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            scope["state"] |= {EARLY_ANSWER: self.refuse, MALFORMED: self.malformed, WANTS_WHOLE_BODY: True}
            if self._bounds is not None:
                scope["state"][CONNECTIONS] = Connections(self._bounds)
            for phase in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{phase}.complete"})
            return
        match scope["path"]:
            case "/whole":
                answer = await self._whole(scope, receive)
            case "/chunks":
                answer = described(b"".join([chunk async for chunk in chunks_of(receive)]), "chunks")
            case "/wait":
                while (await receive())["type"] != "http.disconnect":
                    pass
                self.left.set()
                return
            case "/left":
                await self._whole(scope, receive)
                self.took.set()
                while not scope["extensions"][WHOLE_BODY].left:
                    await asyncio.sleep(0)
                self.left.set()
                return
            case "/later":
                while not self.go.is_set():
                    await asyncio.sleep(0)
                answer = {"how": "unread"}
            case "/first":
                await receive()
                answer = {"how": "first chunk"}
            case "/long":
                answer = {"how": "long", "padding": "a" * LONG_BYTES}
            case "/given-up":
                answer = await given_up(scope)
            case _:
                answer = {"how": "unread"}
        body = json.dumps(answer).encode()
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _whole(self, scope: Scope, receive: Receive) -> dict[str, Any]:
        offered = scope.get("extensions", {}).get(WHOLE_BODY)
        if offered is None:
            return described(b"".join([chunk async for chunk in chunks_of(receive)]), "chunks")
        buffer = np.empty(int(dict(scope["headers"])[b"content-length"]), np.uint8)
        self.buffers.append(weakref.ref(buffer))
        with offered.into(buffer.data):
            if not await offered.arrived():
                self.left.set()
                return {}
        return described(buffer.tobytes(), "whole")


async def given_up(scope: Scope) -> dict[str, Any]:
    offered = scope["extensions"][WHOLE_BODY]
    with offered.into(memoryview(bytearray(offered.length))):
        return {"how": "given up", "all there": offered.received == offered.length}


async def chunks_of(receive: Receive) -> Any:
    more = True
    while more:
        message = await receive()
        more = message.get("more_body", False)
        yield message["body"]


def described(body: bytes, how: str) -> dict[str, Any]:
    return {"how": how, "length": len(body), "sha256": hashlib.sha256(body).hexdigest()}


def config_of(app: App, loop: str, keep_alive_s: int = 5) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http="app.server.connection:Connection",
        loop=loop,
        lifespan="on",
        ws="none",
        log_config=None,
        timeout_keep_alive=keep_alive_s,
    )


@contextmanager
def serving(app: App, loop: str, keep_alive_s: int = 5) -> Iterator[int]:
    """The port of a server in a thread, which hangs up on connections that are idle for `keep_alive_s`."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(config_of(app, loop, keep_alive_s))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(PATIENCE_S)


class Client:
    """One connection that is kept."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
        self._answers = self.socket.makefile("rb")
        self.headers: dict[bytes, bytes] = {}

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._answers.close()
        self.socket.close()

    def post(self, path: str, body: bytes, pieces: int = 1) -> dict[str, Any]:
        self.send(request(path, body), pieces)
        return self.answer()

    def send(self, data: bytes, pieces: int = 1) -> None:
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start, stop in itertools.pairwise(np.linspace(0, len(data), pieces + 1, dtype=int).tolist()):
            self.socket.sendall(data[start:stop])

    def status(self) -> bytes:
        """The status line, its headers passed over."""
        first = self._answers.readline()
        assert first, "the server hung up"
        return first

    def answer(self) -> dict[str, Any]:
        assert self.status().startswith(b"HTTP/1.1 200 ")
        lines = iter(lambda: self._answers.readline().strip(), b"")
        self.headers = dict(line.split(b": ", 1) for line in lines)
        answer: dict[str, Any] = json.loads(self._answers.read(int(self.headers[b"content-length"])))
        return answer

    def rest(self) -> bytes:
        """All that still comes before the server hangs up."""
        return self._answers.read()

    def taken_over(self) -> bool:
        """Whether the last answer came from the taker."""
        return b"taken-over" in self.headers


class Clock:
    """An event loop's time and timers, set forward by hand."""

    def __init__(self) -> None:
        self._now = 0.0
        self._timers: list[asyncio.TimerHandle] = []

    def time(self) -> float:
        return self._now

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> asyncio.TimerHandle:
        timer = asyncio.TimerHandle(self._now + delay, callback, args, cast(asyncio.AbstractEventLoop, self))
        self._timers.append(timer)
        return timer

    def get_debug(self) -> bool:
        return False

    def _timer_handle_cancelled(self, timer: asyncio.TimerHandle) -> None:
        self._timers.remove(timer)

    def forward(self, seconds: float) -> None:
        """Let time pass, and call what was due by its end."""
        self._now += seconds
        while due := [timer for timer in self._timers if timer.when() <= self._now]:
            self._timers.remove(due[0])
            due[0]._run()


class Wire(asyncio.Transport):
    """Keeps what is written. `waiting_bytes` of it the client has not taken yet."""

    def __init__(self, address: str = "192.0.2.1") -> None:
        super().__init__({"peername": (address, 50_000), "sockname": ("192.0.2.9", 80)})
        self.written = b""
        self.waiting_bytes = 0
        self.aborted = False
        self._closing = False

    def get_write_buffer_size(self) -> int:
        return self.waiting_bytes

    def abort(self) -> None:
        self._closing = self.aborted = True

    def can_write_eof(self) -> bool:
        return False

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        self._closing = True


def request(path: str, body: bytes, *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def content(size: int, seed: int = 0) -> bytes:
    return np.random.default_rng(seed).bytes(size)
