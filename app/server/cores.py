"""Core pinning: each thread of the engine keeps to a core of its own."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Final

CALLING: Final = 0  # of sched_setaffinity(2): the calling thread
LOOK_S: Final = 1.0  # while workers are replaced, for seconds, a core may have two threads that long


class Cores:
    """Pins each of the engine's threads, over all workers, to a core of its own. Where a worker has one such thread,
    the event loop keeps to the same core: what it has received is in that core's cache.

    Left to the scheduler requests take longer, the slowest most (docs/serving.md). `cores` are as many as all workers
    have such threads; with none, nothing is pinned. `rank` is the number of workers before this one. It changes while
    workers are replaced, so it is looked at every LOOK_S, and not by the requests.
    """

    def __init__(self, cores: Sequence[int], rank: Callable[[], int] = lambda: 0) -> None:
        self._cores = cores
        self._rank = rank
        self._pinned: int | None = None
        self._next_look: asyncio.TimerHandle | None = None

    def start(self, threads: Sequence[int]) -> None:
        """Pin the engine's threads, given by the system's numbers, until `stop`; call this in the event loop."""
        if self._cores:
            self.pin(threads)
            self._next_look = asyncio.get_running_loop().call_later(LOOK_S, self.start, threads)

    def stop(self) -> None:
        """Move no thread any more."""
        if self._next_look is not None:
            self._next_look.cancel()

    def pin(self, threads: Sequence[int]) -> None:
        """Pin the threads, and beside a single one the calling thread, which is its event loop's, where the rank has
        changed."""
        first = self._rank() * len(threads)
        if first == self._pinned:
            return
        self._pinned = first
        for number, thread in enumerate(threads, first):
            _run_on([self._cores[number % len(self._cores)]], thread)
        if len(threads) == 1:
            _run_on([self._cores[first % len(self._cores)]])

    def release(self) -> None:
        """Let the calling thread, which a pinned event loop has started, run on any core."""
        if self._cores:
            _run_on(self._cores)


def _run_on(cores: Iterable[int], thread: int = CALLING) -> None:
    with suppress(OSError):  # not every system allows it; nothing depends on it
        os.sched_setaffinity(thread, cores)
