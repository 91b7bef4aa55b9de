"""Runs blocking work outside the event loop: slices in a bounded queue."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from queue import SimpleQueue
from typing import Any, Final, TypeVar

from app.errors import Overloaded
from app.inference.arrivals import Arrivals

T = TypeVar("T")
SOON_S: Final = 0.1  # most bodies are there by then; those of slow clients take no place from others
STUCK_S: Final = 120.0  # on one slice, which takes seconds on a throttled core
GIVE_WAY_S: Final = 0.05  # a series goes on after each batch however busy the engine is: a third of the time or more


class Abandoned(Exception):
    """The client no longer waits for the answer."""


class _Threads:
    """Threads that run the work of an event loop in its order.

    `ThreadPoolExecutor` under `run_in_executor` makes two futures and a condition for each piece of work: 0.15 ms of
    processor time where this takes 0.07.
    """

    def __init__(self, count: int) -> None:
        self._errands: SimpleQueue[tuple[Callable[[], Any], asyncio.Future[Any]] | None] = SimpleQueue()
        self._threads = [threading.Thread(target=self._run, name=f"engine-{n}", daemon=True) for n in range(count)]
        self._started = False
        self._since: dict[int, float] = {}  # when each thread at work began, by the monotonic clock

    async def run(self, work: Callable[[], T]) -> T:
        """The result of `work`, or its error. The work has the caller's context, so that its log lines have the
        request's id."""
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.start()
        self._errands.put((partial(contextvars.copy_context().run, work), answer))
        try:
            return await answer
        finally:
            # An error holds this frame: in a circle with its future it would keep what was sent until a collection.
            del answer

    def start(self) -> list[int]:
        """Start the threads, if that is still to do; the system's numbers of them."""
        if not self._started:
            self._started = True
            for thread in self._threads:
                thread.start()
        return [thread.native_id for thread in self._threads if thread.native_id is not None]

    def longest_s(self) -> float:
        """For how many seconds the piece of work has run that has run longest; 0 where none runs."""
        return time.monotonic() - min(self._since.copy().values(), default=time.monotonic())

    def close(self) -> None:
        """Finish all work and end the threads."""
        for _ in self._threads:
            self._errands.put(None)
        if self._started:
            for thread in self._threads:
                thread.join()

    def _run(self) -> None:
        while (errand := self._errands.get()) is not None:
            work, answer = errand
            if not answer.cancelled():
                self._since[threading.get_ident()] = time.monotonic()
                answer.get_loop().call_soon_threadsafe(_settle, answer, *_outcome(work))
                self._since.pop(threading.get_ident())
            del errand, work, answer  # an error holds this frame too


def _outcome(work: Callable[[], T]) -> tuple[T | None, BaseException | None]:
    """The result of the work or its error. An error holds this frame, which does not refer to the caller."""
    try:
        return work(), None
    # Whatever it is belongs to the caller.
    except BaseException as error:
        return None, error


def _settle(answer: asyncio.Future[T | None], result: T | None, error: BaseException | None) -> None:
    if answer.cancelled():
        return
    if error is None:
        answer.set_result(result)
    else:
        answer.set_exception(error)


def _overloaded(found: str, expected: str) -> Overloaded:
    return Overloaded(found=found, expected=expected, remedy="Try again after the seconds in Retry-After.")


class Engine:
    """Judges slices in `threads` threads, with a queue for `queue_limit` more; both together hold at most `max_bytes`,
    and with the bodies in `arrivals`, which are on their way, no more either.

    Beyond these limits the caller gets an error at once. One piece of work alone may be of any size. `changed` is
    called with the number of pieces whenever it changes.
    """

    def __init__(
        self,
        threads: int,
        queue_limit: int,
        max_bytes: int,
        changed: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._threads = _Threads(threads)
        self._limit = threads + queue_limit
        self._max_bytes = max_bytes
        self._changed = changed
        self._accepted = 0
        self._bytes = 0
        self.arrivals = Arrivals(max_bytes, lambda: self._bytes)
        self._coming: dict[object, float] = {}  # since when by the monotonic clock, the longest first
        # One more than run: a thread that has finished finds the next without waiting for the event loop.
        self._places = asyncio.Semaphore(threads + 1)
        self._idle = threading.Event()
        self._idle.set()

    async def submit(self, work: Callable[[], T], size_bytes: int, gone: Callable[[], Awaitable[bool]]) -> T:
        """Run `work`, which holds `size_bytes`, and return its result; raises Overloaded when there is no room.

        Work that had to wait is dropped when its turn comes and its client is `gone`: raises Abandoned.
        """
        with self._admitted(size_bytes):
            waits = self._places.locked()
            async with self._places:
                if waits and await gone():
                    raise Abandoned
                return await self._threads.run(work)

    def overload(self, size_bytes: int) -> Overloaded | None:
        """The error that work with a body of `size_bytes` would get once its body was received; None if there is
        room."""
        return self._overload(self._accepted + self._coming_soon(), size_bytes)

    def expect(self) -> object:
        """Count work whose body is about to come, for SOON_S or until `coming` ends, so that no more is let in than
        fits.

        Returns a mark to give to `coming`.
        """
        expected = object()
        self._coming[expected] = time.monotonic()
        return expected

    @contextmanager
    def coming(self, size_bytes: int, expected: object = None) -> Iterator[None]:
        """Count work of `size_bytes` while its body is received in the block.

        Raises Overloaded when there is no room, unless `expected` is a mark from `expect`.
        """
        if expected is None:
            if (overload := self.overload(size_bytes)) is not None:
                raise overload
            expected = self.expect()
        try:
            yield
        finally:
            self._coming.pop(expected, None)

    def start(self) -> list[int]:
        """Start the threads, which the first work does otherwise; the numbers that the system gave them."""
        return self._threads.start()

    def stuck(self) -> bool:
        """Whether a thread has been at one piece of work for longer than any takes."""
        return self._threads.longest_s() > STUCK_S

    def give_way(self) -> None:
        """Hold the calling thread back while the engine has work, for GIVE_WAY_S at most."""
        self._idle.wait(GIVE_WAY_S)

    def wait_until_idle(self, seconds: float) -> bool:
        """Wait until nothing is at work or waits, so long at most; whether that is so. Thread-safe."""
        return self._idle.wait(seconds)

    def close(self) -> None:
        """Finish the work and stop the threads."""
        self._threads.close()

    def _coming_soon(self) -> int:
        late = time.monotonic() - SOON_S
        while self._coming and self._coming[first := next(iter(self._coming))] < late:
            del self._coming[first]
        return len(self._coming)

    def _overload(self, before: int, size_bytes: int) -> Overloaded | None:
        # With none before it whatever was let in is taken: the bound on one body is not this one's business.
        if not before or (before < self._limit and self._bytes + size_bytes <= self._max_bytes):
            return None
        if before < self._limit:
            return _overloaded(f"{self._bytes} bytes at work or waiting", f"at most {self._max_bytes} with this one's")
        return _overloaded(f"{before} requests at work, waiting or coming", f"at most {self._limit}")

    @contextmanager
    def _admitted(self, size_bytes: int) -> Iterator[None]:
        if (overload := self._overload(self._accepted, size_bytes)) is not None:
            raise overload
        self._accepted += 1
        self._bytes += size_bytes
        self._changed(self._accepted)
        self._idle.clear()
        try:
            yield
        finally:
            self._accepted -= 1
            self._bytes -= size_bytes
            self._changed(self._accepted)
            if not self._accepted:
                self._idle.set()
