"""What each worker has at hand, for all of them to see."""

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
    """How much each worker has at hand, in memory shared by the processes that get it at their start.

    `folder` is private to them and holds their sockets.
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
        """The calling process' own place; raises RuntimeError when there is none left."""
        with self._joining:
            for place, pid in enumerate(self._pids):
                if pid == FREE:
                    self._at_hand[place] = UNREACHABLE
                    self._sends_to[place] = NOBODY
                    self._pids[place] = os.getpid()
                    return place
        raise RuntimeError(f"more than {len(self._pids)} workers")

    def leave(self, place: int) -> None:
        """Give a place back."""
        self._pids[place] = FREE

    def forget(self, pid: int) -> None:
        """Give back the place of a process that has ended, if it has not itself."""
        for place, other in enumerate(self._pids):
            if other == pid:
                self.leave(place)

    def publish(self, place: int, at_hand: int) -> None:
        """Say how much there is at hand, or UNREACHABLE for a worker to which nothing can be sent."""
        self._at_hand[place] = at_hand

    def add(self, place: int) -> None:
        """Count what was just sent to a worker, until that publishes it."""
        self._at_hand[place] += 1

    def loads(self) -> dict[int, int]:
        """What the worker at each place has at hand, of those that can be reached."""
        every = enumerate(zip(self._pids[:], self._at_hand[:], strict=True))  # a slice is one call into ctypes
        return {place: at_hand for place, (pid, at_hand) in every if pid != FREE and at_hand < UNREACHABLE}

    @contextmanager
    def sending(self, place: int, receiver: int) -> Iterator[bool]:
        """Whether what the worker at `place` sends to the one at `receiver` in this block will be received.

        Sent and published by each before it looks at what the other published: one of them knows.
        """
        self._sends_to[place] = receiver
        try:
            yield self._at_hand[receiver] < UNREACHABLE
        finally:
            self._sends_to[place] = NOBODY

    def awaited(self, place: int) -> bool:
        """Whether somebody may be sending to a place."""
        both = zip(self._pids, self._sends_to, strict=True)
        return any(pid != FREE and receiver == place for pid, receiver in both)

    def socket_of(self, place: int) -> Path:
        """Where the worker at a place listens for the others."""
        return self._folder / f"worker-{place}"
