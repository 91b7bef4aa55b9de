"""The load board: how many requests each worker has, in memory that all workers share."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

FREE: Final = 0  # no process has this id
UNREACHABLE: Final = 1 << 30  # at hand: more than any worker has
NOBODY: Final = -1


class LoadBoard:
    """How many requests each worker has. A worker and its replacement have a place each, in shared memory.

    The processes inherit the board when they start. `folder` is private to them and holds their sockets.
    """

    def __init__(self, workers: int, folder: Path) -> None:
        # Started afresh, as uvicorn starts workers.
        context = multiprocessing.get_context("spawn")
        places = 2 * workers  # a worker and its replacement
        self._pids = context.RawArray("i", places)
        self._at_hand = context.RawArray("i", places)
        self._sends_to = context.RawArray("i", [NOBODY] * places)
        self._joining = context.Lock()
        self._folder = folder

    def join(self) -> int:
        """Take a place for the calling process; raises RuntimeError when none is left."""
        with self._joining:
            for place, pid in enumerate(self._pids):
                if pid == FREE:
                    self._at_hand[place] = UNREACHABLE
                    self._sends_to[place] = NOBODY
                    self._pids[place] = os.getpid()
                    return place
        raise RuntimeError(f"more than {len(self._pids)} workers")

    @property
    def workers(self) -> int:
        """The number of workers, but while they are replaced."""
        return len(self._pids) // 2

    def rank(self, place: int) -> int:
        """The number of workers that have a place before this one."""
        return sum(pid != FREE for pid in self._pids[:place])

    def leave(self, place: int) -> None:
        """Free a place."""
        self._pids[place] = FREE

    def forget(self, pid: int) -> None:
        """Free the place of a process that has ended without doing so."""
        for place, other in enumerate(self._pids):
            if other == pid:
                self.leave(place)

    def publish(self, place: int, at_hand: int) -> None:
        """Set the number of requests of the worker at `place`; UNREACHABLE for one that takes no connection."""
        self._at_hand[place] = at_hand

    def add(self, place: int) -> None:
        """Count a request just sent to a worker, until that worker publishes its own number."""
        self._at_hand[place] += 1

    def loads(self) -> dict[int, int]:
        """The number of requests by place, of the workers that can be reached."""
        every = enumerate(zip(self._pids[:], self._at_hand[:], strict=True))  # a slice is one call into ctypes
        return {place: at_hand for place, (pid, at_hand) in every if pid != FREE and at_hand < UNREACHABLE}

    @contextmanager
    def sending(self, place: int, receiver: int) -> Iterator[bool]:
        """Announce a connection from the worker at `place` to the one at `receiver`; whether the receiver will take it.

        Each side first publishes its own intention and then reads the other's, so at least one of them sees the
        conflict.
        """
        self._sends_to[place] = receiver
        try:
            yield self._at_hand[receiver] < UNREACHABLE
        finally:
            self._sends_to[place] = NOBODY

    def awaited(self, place: int) -> bool:
        """Whether another worker may be sending to a place."""
        both = zip(self._pids, self._sends_to, strict=True)
        return any(pid != FREE and receiver == place for pid, receiver in both)

    def socket_of(self, place: int) -> Path:
        """The path of the socket on which the worker at a place receives connections."""
        return self._folder / f"worker-{place}"
