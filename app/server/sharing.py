"""Connection passing: a busy worker passes a connection to a worker that has less to do.

A client with a lasting connection stays with its worker however busy that is, and the system hands out new connections
without asking either: of two workers one would queue while the other idles. So a worker that has read the headers of a
request passes the connection to the worker with the fewest requests. It sends the file descriptor (unix(7), SCM_RIGHTS)
and the bytes that it has read. The body is still in the socket and moves at no cost. Later requests of the connection
stay with the new worker until that is the busy one.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from array import array
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol, runtime_checkable

from app.server.hooks import Scope
from app.server.load_board import UNREACHABLE, LoadBoard

NEXT: Final = 1  # slices at hand, behind which the next has its turn
DEEP: Final = 4  # so many more at hand are worth the way however much the other has
MAX_BEGUN_BYTES: Final = 64 * 1024  # what is read of a request with its headers is less
SENDING_S: Final = 0.001
LISTENING_S: Final = 0.01
LAST_ANSWERS_S: Final = 5.0  # the server has waited before for all it had when its end began
logger = logging.getLogger(__name__)


@runtime_checkable
class TakesOver(Protocol):
    """An event loop whose server can serve a connection that another worker accepted."""

    def accepts(self) -> bool:
        """Whether the server takes new connections."""
        ...

    async def take_over(self, accepted: socket.socket, begun: bytes) -> None:
        """Serve a connection to its end, beginning with the bytes `begun`. Serve only one request when the server takes
        no new connections any more."""
        ...


class Sharing:
    """How one worker passes connections to the others and takes theirs. A connection that cannot be passed stays
    here."""

    def __init__(self, board: LoadBoard, path: str, passed_on: Callable[[], None] = lambda: None) -> None:
        """Share the connections of POST requests on `path`; call `passed_on` for each that goes to another worker."""
        self._board = board
        self._path = path
        self._passed_on = passed_on
        self._place = board.join()
        self._ready = False
        self._slices = 0
        self._series = 0
        self._outbox: socket.socket | None = None
        self._inbox: socket.socket | None = None
        self._loop: TakesOver
        self._reachable = False
        self._reached: asyncio.Task[None] | None = None
        self._taken: set[asyncio.Task[None]] = set()

    def rank(self) -> int:
        """The number of workers before this one, by their places."""
        return self._board.rank(self._place)

    def publish_slices(self, slices: int) -> None:
        """Tell the other workers how many slices this worker has."""
        self._slices = slices
        self._publish()

    def publish_series(self, series: int) -> None:
        """Tell the other workers how many series this worker has."""
        self._series = series
        self._publish()

    def idler(self) -> int | None:
        """The place of the worker to which the next slice should go; None when it should stay here."""
        at_hand = self._at_hand
        if self._ready and not at_hand:
            return None
        loads = self._board.loads()
        loads.pop(self._place, None)
        if not loads:
            return None
        least = min(loads, key=loads.__getitem__)
        # Where both have enough to do, a few places in the queue are not worth the way.
        worth = loads[least] < at_hand and (loads[least] <= NEXT or at_hand - loads[least] >= DEEP)
        # One that is still loading passes everything on.
        return least if worth or not self._ready else None

    def pass_on(self, scope: Scope, connection: int, begun: memoryview) -> bool:
        """Pass a connection to the worker that has least to do, if that has less than this one (an
        `app.server.hooks.PassOn`)."""
        if scope["path"] != self._path or scope["method"] != "POST":
            return False
        place = self.idler()
        if place is None:
            return False
        if self._outbox is None:
            self._outbox = _datagrams()
        descriptor = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", [connection]))]
        with self._board.sending(self._place, place) as received:
            if not received:
                return False
            try:
                self._outbox.sendmsg([begun], descriptor, 0, str(self._board.socket_of(place)))
            except OSError:  # it has just died, or has not looked at the last ten yet
                return False
        self._board.add(place)
        self._passed_on()
        return True

    async def start(self) -> None:
        """Begin to take connections, once the models are loaded. Before that this worker passes all slices to loaded
        workers."""
        self._ready = True
        loop = asyncio.get_running_loop()
        if not isinstance(loop, TakesOver):
            return
        path = self._board.socket_of(self._place)
        inbox = _datagrams()
        try:
            path.unlink(missing_ok=True)  # of a worker that had the place before
            inbox.bind(str(path))
        except OSError as error:  # the name of a socket has a hundred characters at most
            inbox.close()
            logger.warning("other workers cannot reach this one at %s: %s", path, error)
            return
        self._inbox, self._loop = inbox, loop
        asyncio.get_running_loop().add_reader(inbox, self._take)
        self._reached = asyncio.get_running_loop().create_task(self._be_reached())
        await asyncio.sleep(0)

    async def _be_reached(self) -> None:
        """Have others send connections, once there is a server for them: a worker that replaces another has loaded its
        models before it listens."""
        while not self._loop.accepts():
            await asyncio.sleep(LISTENING_S)
        self._reachable = True
        self._publish()

    async def stop(self) -> None:
        """Take no more connections; wait until those from other workers are answered."""
        if self._reached is not None:
            self._reached.cancel()
        self._reachable = False
        self._publish()
        while self._board.awaited(self._place):
            await asyncio.sleep(SENDING_S)
        if self._inbox is not None:
            asyncio.get_running_loop().remove_reader(self._inbox)
            with suppress(BlockingIOError):
                while True:
                    self._take_one(self._inbox)
            if self._taken:
                await asyncio.wait(self._taken, timeout=LAST_ANSWERS_S)
            self._inbox.close()
            self._inbox = None
        if self._outbox is not None:
            self._outbox.close()
        self._board.leave(self._place)

    @property
    def _at_hand(self) -> int:
        # A series weighs like one slice: whoever judges it always has one at work.
        return self._slices + self._series

    def _publish(self) -> None:
        self._board.publish(self._place, self._at_hand if self._reachable else UNREACHABLE)

    def _take(self) -> None:
        assert self._inbox is not None
        # The server's end begins before the application's.
        if self._reachable and not self._loop.accepts():
            self._reachable = False
            self._publish()
        with suppress(BlockingIOError):
            self._take_one(self._inbox)

    def _take_one(self, inbox: socket.socket) -> None:
        """Serve the next connection that another worker has sent; raises BlockingIOError when there is none."""
        begun, descriptors, _, _ = socket.recv_fds(inbox, MAX_BEGUN_BYTES, 1)
        if not descriptors:
            logger.error("a connection is lost: this process may not open more files")
            return
        accepted = socket.socket(fileno=descriptors[0])
        accepted.setblocking(False)
        taken = asyncio.get_running_loop().create_task(self._loop.take_over(accepted, begun))
        self._taken.add(taken)
        taken.add_done_callback(self._taken.discard)


def _datagrams() -> socket.socket:
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    opened.setblocking(False)
    return opened
