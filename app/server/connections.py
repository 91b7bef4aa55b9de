"""All open connections of a worker: how many there may be, and how long each may let the service wait.

A connection that waits for its client holds a file descriptor and what has come so far, nothing else. Once a second all
are looked at, and those that have waited too long are closed. Where too many are open, the one that has waited longest
makes room for the next: who is being answered never does.
"""

from __future__ import annotations

import asyncio
import logging
import resource
from collections import defaultdict
from collections.abc import Callable
from typing import Final, Literal, NamedTuple, Protocol

from app.server.bounds import ConnectionBounds

LOOK_S: Final = 1.0
OTHER_FILES: Final = (
    54  # that a worker has open beside its connections: 41, those that it opens now and then, one to accept
)
FEWEST: Final = 8
QUIET_S: Final = 600.0  # the log says once in so long that connections are closed for one reason
# What a client owes: a request's head, the next request, a body, the rest of one that is dropped, to take its answer.
Owed = Literal["head", "next", "body", "rest", "taking"]
Reason = Literal["head", "next", "body", "rest", "taking", "room"]
MESSAGES: Final[dict[Reason, str]] = {
    "head": "connections are closed whose request did not come within LUNGSCOPE_HEADER_SECONDS",
    "next": "",  # every client has idle connections
    "body": "",
    "rest": "connections are closed that go on sending a body after its answer, and too slowly",
    "taking": "connections are closed whose clients take their answers too slowly",
    "room": "as many connections are open as may be (LUNGSCOPE_MAX_CONNECTIONS, _PER_ADDRESS, open files): for each "
    "new one that is closed which has let the service wait longest",
}
logger = logging.getLogger(__name__)


class Waiting(NamedTuple):
    """What the client of a connection owes since `since_s`, by the event loop's clock, and the bytes that came or went
    meanwhile."""

    owed: Owed
    since_s: float
    moved_bytes: int = 0


class Watched(Protocol):
    """A connection."""

    @property
    def address(self) -> str:
        """Of the client, without its port."""
        ...

    def waiting(self) -> Waiting | None:
        """What its client owes; None while the service is at work for it."""
        ...

    def end(self, reason: Reason) -> None:
        """Close it for this reason."""
        ...


class Connections:
    """The open connections of one event loop; `closed` is told the reason for which each is closed."""

    def __init__(self, bounds: ConnectionBounds, closed: Callable[[Reason], None] = lambda _: None) -> None:
        self.bounds = bounds
        self._closed = closed
        self._most = min(bounds.connections, _files_for_connections())
        self._open: dict[str, set[Watched]] = defaultdict(set)
        self._count = 0
        self._said_s: dict[Reason, float] = {}
        self._look: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return self._count

    def add(self, new: Watched, loop: asyncio.AbstractEventLoop) -> Literal["address", "all"] | None:
        """Take a new connection; another one is closed where there are too many. Where all of them are at work it is
        not taken: returns whose number is the bound."""
        of_address = self._open[new.address]
        full = len(of_address) >= self.bounds.connections_of_address
        if full and not self._make_room(of_address, loop):
            return "address"
        # Of who has most: nobody can shut others out by the number of his connections.
        busiest = sorted(self._open.values(), key=len, reverse=True) if self._count >= self._most else ()
        if busiest and not any(self._make_room(each, loop) for each in busiest):
            return "all"
        self._open[new.address].add(new)
        self._count += 1
        if self._look is None:
            self._look = loop.call_later(LOOK_S, self._look_at_all, loop)
        return None

    def discard(self, gone: Watched) -> None:
        """Forget a connection that has closed."""
        of_address = self._open.get(gone.address, set())
        if gone in of_address:
            of_address.discard(gone)
            self._count -= 1
            if not of_address:
                del self._open[gone.address]

    def _make_room(self, among: set[Watched], loop: asyncio.AbstractEventLoop) -> bool:
        owing = [(waiting.since_s, n, each) for n, each in enumerate(among) if (waiting := each.waiting()) is not None]
        if not owing:
            return False
        self._end(min(owing)[2], "room", loop)
        return True

    def _look_at_all(self, loop: asyncio.AbstractEventLoop) -> None:
        self._look = loop.call_later(LOOK_S, self._look_at_all, loop) if self._count else None
        now = loop.time()
        for each in [each for of_address in self._open.values() for each in of_address]:
            waiting = each.waiting()
            if waiting is not None and now - waiting.since_s > self._patience_s(waiting):
                self._end(each, waiting.owed, loop)

    def _patience_s(self, waiting: Waiting) -> float:
        match waiting.owed:
            case "head":
                return self.bounds.head_s
            case "next":
                return self.bounds.idle_s
            case "body":
                return float("inf")  # the application reads it, and has patience of its own
            case _:
                return self.bounds.patience_s + waiting.moved_bytes / self.bounds.min_rate

    def _end(self, connection: Watched, reason: Reason, loop: asyncio.AbstractEventLoop) -> None:
        self.discard(connection)
        connection.end(reason)
        self._closed(reason)
        now = loop.time()
        if MESSAGES[reason] and now - self._said_s.get(reason, -QUIET_S) >= QUIET_S:
            self._said_s[reason] = now
            logger.warning("%s; %d are open", MESSAGES[reason], self._count)


def _files_for_connections() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1 << 30 if soft == resource.RLIM_INFINITY else max(FEWEST, soft - OTHER_FILES)
