"""Places for series in memory, each with a thread of its own."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from app.errors import Overloaded

T = TypeVar("T")


class SeriesSlot:
    """The place of one series in memory, and its thread. The work calls `cancelled` after each batch."""

    def __init__(
        self,
        pool: ThreadPoolExecutor,
        leave: Callable[[SeriesSlot], None],
        give_way: Callable[[], None],
        *,
        spooled: bool,
    ) -> None:
        self.pool = pool
        self.spooled = spooled
        self._leave = leave
        self._give_way = give_way
        self._cancelled = threading.Event()
        self._closed = False
        self._running: Future[Any] | None = None  # each piece of work returns another type

    def cancelled(self) -> bool:
        """Whether the client has gone. It first lets single slices go ahead."""
        if not self._cancelled.is_set():
            self._give_way()
        return self._cancelled.is_set()

    def cancel(self) -> None:
        """Tell the work to stop at its next batch."""
        self._cancelled.set()

    async def run(self, work: Callable[[], T]) -> T:
        """Run one piece of work in the series' thread and return its result; one piece at a time."""
        context = contextvars.copy_context()
        running: Future[T] = self.pool.submit(context.run, work)
        self._running = running
        return await asyncio.wrap_future(running)

    def close(self) -> None:
        """Tell the work to stop, and free the place once it has ended, without waiting for that; again, do nothing."""
        if self._closed:
            return
        self._closed = True
        self.cancel()
        if self._running is None:
            self._leave(self)
        else:
            self._running.add_done_callback(lambda _: self._leave(self))


class SeriesLane:
    """Places for `limit` series of clients and `reserved` ones of the spool, each from when its files are there to the
    end of the work, with a thread for each. Without reserved places the spool shares those of the clients.

    A series takes seconds: in the queue of single slices it would hold these up. `changed` is called with the number of
    series in memory whenever it changes; `give_way` is called after each batch of a series, in its thread, and `begin`
    once at the start of each thread.
    """

    def __init__(
        self,
        limit: int,
        changed: Callable[[int], None] = lambda _: None,
        give_way: Callable[[], None] = lambda: None,
        begin: Callable[[], None] = lambda: None,
        reserved: int = 0,
    ) -> None:
        self._limit = limit
        self._reserved = reserved
        self._changed = changed
        self._give_way = give_way
        # A pool for each place: one for all may run a series in turn in several threads, which leave a heap each.
        self._pools = [ThreadPoolExecutor(1, f"series-{n}", begin) for n in range(limit + reserved)]
        self._free = list(self._pools)
        self._open: set[SeriesSlot] = set()
        self._idle = threading.Event()
        self._idle.set()
        self._lock = threading.Lock()  # a slot is given back in the thread that did its work

    def __len__(self) -> int:
        """The number of series in memory."""
        return len(self._open)

    def require_place(self) -> None:
        """Raise Overloaded where a series of a client would find no place now."""
        with self._lock:
            self._check(spooled=False)

    @contextmanager
    def slot(self, *, spooled: bool = False) -> Iterator[SeriesSlot]:
        """A place for one series, of a client or `spooled`, until its work has ended; raises Overloaded when none is
        free."""
        spooled = spooled and self._reserved > 0
        with self._lock:
            self._check(spooled=spooled)
            slot = SeriesSlot(self._free.pop(), self._leave, self._give_way, spooled=spooled)
            self._open.add(slot)
            self._idle.clear()
            self._changed(len(self._open))
        try:
            yield slot
        finally:
            slot.close()

    def _check(self, *, spooled: bool) -> None:
        most = self._reserved if spooled else self._limit
        found = sum(slot.spooled is spooled for slot in self._open)
        if found >= most:
            raise Overloaded(
                found=f"{found} series in memory",
                expected=f"at most {most}",
                remedy="Try again after the seconds in Retry-After; LUNGSCOPE_MAX_SERIES is the bound.",
            )

    def wait_until_idle(self, seconds: float) -> bool:
        """Wait until no series is in memory, so long at most; whether that is so."""
        return self._idle.wait(seconds)

    def close(self) -> None:
        """Tell all work to stop and wait until it has."""
        for slot in list(self._open):
            slot.cancel()
        for pool in self._pools:
            pool.shutdown(wait=True)

    def _leave(self, slot: SeriesSlot) -> None:
        with self._lock:
            self._open.discard(slot)
            if not self._open:
                self._idle.set()
            self._free.append(slot.pool)
            self._changed(len(self._open))
