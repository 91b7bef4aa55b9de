"""HTTP servers on loopback that are well, or slow, or refuse, or break off, or are not there at all."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final, Literal, Self

from benchmarks.serving.service import free_port

# `refusing` answers 503; `breaking` takes what is sent, and ends the connection without an answer.
Mood = Literal["well", "down", "slow", "refusing", "breaking"]
BAD_MOODS: Final[tuple[Mood, ...]] = ("down", "slow", "refusing", "breaking")
SLOW_S: Final = 1.5
STOPPED_WITHIN_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered."""

    status: int
    content: bytes = b"{}"
    content_type: str = "application/json"


class Peer:
    """A server at a port that it keeps; `answer` is called for each request that is taken. A context manager."""

    def __init__(self, name: str, answer: Callable[[Request], Answer]) -> None:
        self.name = name
        self.port = free_port()
        self.mood: Mood = "down"
        self._answer = answer
        self._healed = threading.Event()

    @property
    def url(self) -> str:
        """The address below which it answers."""
        return f"http://127.0.0.1:{self.port}/root"

    def __enter__(self) -> Self:
        self.become("well")
        return self

    def __exit__(self, *_error: object) -> None:
        self.become("down")

    def become(self, mood: Mood) -> None:
        """Be in this mood from now on; who is being answered slowly is so no longer."""
        self._healed.set()
        self._healed = threading.Event()
        before, self.mood = self.mood, mood
        if mood == "down" and before != "down":
            self._server.shutdown()
            self._server.server_close()
        elif before == "down" and mood != "down":
            self._open()

    def respond(self, request: Request) -> Answer | None:
        """The answer in this mood; None where there is none."""
        mood = self.mood
        if mood == "refusing":
            return Answer(HTTPStatus.SERVICE_UNAVAILABLE)
        if mood == "slow":
            self._healed.wait(SLOW_S)
        answer = self._answer(request)
        return None if mood == "breaking" else answer

    def _open(self) -> None:
        class Handler(_Handler):
            peer = self

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self._server.serve_forever, args=(STOPPED_WITHIN_S,), daemon=True).start()


class _Handler(BaseHTTPRequestHandler):
    peer: Peer

    def do_GET(self) -> None:
        self._respond(b"")

    def do_POST(self) -> None:
        self._respond(self.rfile.read(int(self.headers["Content-Length"])))

    def _respond(self, body: bytes) -> None:
        answer = self.peer.respond(Request(self.path, dict(self.headers), body))
        if answer is None:
            return
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        try:
            self.wfile.write(answer.content)
        except OSError:
            return  # who asked was killed

    def log_message(self, *_: object) -> None:
        """Say nothing."""
