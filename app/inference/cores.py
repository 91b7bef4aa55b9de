"""Which core each thread of the engine keeps to."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress


class Cores:
    """Gives each of the engine's threads, over all workers, a core of its own.

    Left to the scheduler, the slowest requests take a third longer (docs/decisions/0014). `cores` are all there are
    for as many threads; with none, threads are left to the scheduler. `rank` says how many workers stand before this
    one, each with `threads` threads; it may change while workers are replaced.
    """

    def __init__(self, cores: Sequence[int], threads: int, rank: Callable[[], int] = lambda: 0) -> None:
        self._cores = cores
        self._threads = threads
        self._rank = rank
        self._kept: dict[int, int] = {}

    def keep(self, thread: int) -> None:
        """Have the calling thread, which is the engine's number `thread`, run on its core and no other."""
        if not self._cores:
            return
        core = self._cores[(self._rank() * self._threads + thread) % len(self._cores)]
        if self._kept.get(thread) != core:
            self._kept[thread] = core
            with suppress(OSError):  # not every system allows it; nothing depends on it
                os.sched_setaffinity(0, {core})
