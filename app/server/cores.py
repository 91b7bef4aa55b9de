"""Which core each thread of the engine keeps to."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress


class Cores:
    """Gives each of the engine's threads, over all workers, a core of its own, and a worker's event loop the core of
    its thread where it has but one: what the loop has received is in that core's cache.

    Left to the scheduler, requests take longer, the slowest most (docs/decisions/0014, 0015). `cores` are all there
    are for as many threads; with none, threads are left to the scheduler. `rank` says how many workers stand before
    this one, each with `threads` threads; it may change while workers are replaced.
    """

    def __init__(self, cores: Sequence[int], threads: int, rank: Callable[[], int] = lambda: 0) -> None:
        self._cores = cores
        self._threads = threads
        self._rank = rank
        self._kept: dict[int, int] = {}

    def keep(self, thread: int, loop: int) -> None:
        """Have the calling thread, which is the engine's number `thread`, run on its core and no other; and with it
        the event loop, whose thread has the system's number `loop`."""
        if not self._cores:
            return
        core = self._cores[(self._rank() * self._threads + thread) % len(self._cores)]
        if self._kept.get(thread) != core:
            self._kept[thread] = core
            _run_on([core])
            if self._threads == 1:
                _run_on([core], loop)

    def roam(self) -> None:
        """Have the calling thread, started by an event loop that keeps to a core, run on any."""
        if self._cores:
            _run_on(self._cores)


def _run_on(cores: Iterable[int], thread: int = 0) -> None:
    with suppress(OSError):  # not every system allows it; nothing depends on it
        os.sched_setaffinity(thread, cores)
