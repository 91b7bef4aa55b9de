"""Two worker processes on one port with the shipped server's connections and their passing on, behind a proxy. The
application notes what it is asked, and answers what it was told."""

from __future__ import annotations

import asyncio
import hashlib
import json
import multiprocessing
import os
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import uvicorn

from app.server import hooks
from app.server.bounds import ConnectionBounds
from app.server.connections import Connections
from app.server.load_board import LoadBoard
from app.server.sharing import Sharing
from benchmarks.guard.smuggling.variants import HOW, MARK, TARGET

WORKERS: Final = 2
SHARED: Final = TARGET.decode()  # its POST requests are passed on, every one
PROXIED: Final = "X-Proxied"  # the proxy gives it to each request that it sends, with a value of its own
READY_S: Final = 60
LEAVE_S: Final = 10


class Witness:
    """Answers with what it was asked, and notes it in a file that both workers write."""

    def __init__(self, notes: Path, board: LoadBoard) -> None:
        self._notes = os.open(notes, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._sharing = Sharing(board, SHARED)

    async def __call__(self, scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Any]) -> None:
        """Serve one request, or begin and end."""
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
            return
        self._sharing.publish_slices(0)
        body = b"" if _values(scope, HOW) == ["unread"] else await self._body(scope, receive)
        said = {"method": scope["method"], "path": scope["path"], "mark": _values(scope, MARK)}
        said |= {"length": len(body), "sha256": hashlib.sha256(body).hexdigest()}
        self._note({**said, "proxied": _values(scope, PROXIED), "worker": os.getpid()})
        content = json.dumps(said).encode()
        headers = [(b"content-length", b"%d" % len(content)), (b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else content})

    async def _live(self, scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Any]) -> None:
        await receive()
        scope["state"] |= {
            hooks.WANTS_WHOLE_BODY: True,
            hooks.EARLY_ANSWER: self._refuse,
            hooks.MALFORMED: self._malformed,
            hooks.CONNECTIONS: Connections(ConnectionBounds()),
            hooks.PASS_ON: self._pass_on,
        }
        await self._sharing.start()
        self._sharing.publish_slices(0)
        await send({"type": "lifespan.startup.complete"})
        self._note({"ready": os.getpid()})
        await receive()
        await self._sharing.stop()
        await send({"type": "lifespan.shutdown.complete"})

    async def _body(self, scope: Any, receive: Callable[[], Awaitable[Any]]) -> bytes:
        offered = scope.get("extensions", {}).get(hooks.WHOLE_BODY)
        if offered is not None:
            buffer = bytearray(offered.length)
            with offered.into(memoryview(buffer)):
                await offered.arrived()
            return bytes(buffer[: offered.received])
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        return body

    def _pass_on(self, scope: hooks.Scope, connection: int, begun: memoryview) -> bool:
        self._sharing.publish_slices(2)
        passed = self._sharing.pass_on(scope, connection, begun)
        self._sharing.publish_slices(0)
        if passed:
            self._note({"passed on": os.getpid()})
        return passed

    def _refuse(self, scope: hooks.Scope, _length: int) -> hooks.EarlyAnswer | None:
        if _values(scope, HOW) != ["refused"]:
            return None
        said = {"method": scope["method"], "path": scope["path"], "mark": _values(scope, MARK)}
        self._note({**said, "proxied": _values(scope, PROXIED), "worker": os.getpid()})
        content = json.dumps(said).encode()
        self._note({"refused early": os.getpid()})
        return hooks.EarlyAnswer(413, b"content-length: %d\r\n" % len(content), content)

    def _malformed(self, status: HTTPStatus) -> hooks.EarlyAnswer:
        self._note({"malformed": status})
        return hooks.EarlyAnswer(status, b"content-length: 2\r\n", b"{}")

    def _note(self, said: dict[str, Any]) -> None:
        os.write(self._notes, json.dumps(said).encode() + b"\n")  # one write: two processes append


def _values(scope: Any, name: str) -> list[str]:
    return [value.decode("latin-1") for each, value in scope["headers"] if each == name.lower().encode()]


def _serve(listening: socket.socket, notes: Path, board: LoadBoard) -> None:
    config = uvicorn.Config(
        Witness(notes, board),
        http="app.server.connection:Connection",
        loop="app.server.loop:ServerLoop",
        lifespan="on",
        ws="none",
        log_config=None,
        timeout_graceful_shutdown=1,
    )
    uvicorn.Server(config).run([listening])


@contextmanager
def listening_at(folder: Path, notes: Path) -> Iterator[int]:
    """The port on which both workers answer, until the block ends; their sockets lie in `folder`."""
    context = multiprocessing.get_context("spawn")
    board = LoadBoard(WORKERS, folder)
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:
        workers = [context.Process(target=_serve, args=(listening, notes, board)) for _ in range(WORKERS)]
        for each in workers:
            each.start()
        try:
            asyncio.run(_until_ready(notes))
            yield listening.getsockname()[1]
        finally:
            for each in workers:
                each.terminate()
            for each in workers:
                each.join(LEAVE_S)
                each.kill()


async def _until_ready(notes: Path) -> None:
    async with asyncio.timeout(READY_S):
        while not notes.exists() or sum("ready" in note for note in read(notes)) < WORKERS:
            await asyncio.sleep(0.05)


def read(notes: Path) -> list[dict[str, Any]]:
    """What the workers have noted so far."""
    return [json.loads(line) for line in notes.read_text("utf-8").splitlines()]
