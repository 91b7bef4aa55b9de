"""What each worker has at hand, for all of them to see."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path
from typing import Final

FREE: Final = 0  # no process has this id


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
        self._joining = context.Lock()
        self._folder = folder

    def join(self) -> int:
        """The calling process' own place; raises RuntimeError when there is none left."""
        with self._joining:
            for place, pid in enumerate(self._pids):
                if pid == FREE:
                    self._at_hand[place] = 0
                    self._pids[place] = os.getpid()
                    return place
        raise RuntimeError(f"more than {len(self._pids)} workers")

    @property
    def workers(self) -> int:
        """How many there are but while they are replaced."""
        return len(self._pids) // 2

    def rank(self, place: int) -> int:
        """How many workers have a place before this one."""
        return sum(pid != FREE for pid in self._pids[:place])

    def leave(self, place: int) -> None:
        """Give a place back."""
        self._pids[place] = FREE

    def forget(self, pid: int) -> None:
        """Give back the place of a process that has ended, if it has not itself."""
        for place, other in enumerate(self._pids):
            if other == pid:
                self.leave(place)

    def publish(self, place: int, at_hand: int) -> None:
        """Say how much there is at hand."""
        self._at_hand[place] = at_hand

    def loads(self) -> dict[int, int]:
        """What the worker at each place has at hand."""
        both = zip(self._pids, self._at_hand, strict=True)
        return {place: count for place, (pid, count) in enumerate(both) if pid != FREE}

    def socket_of(self, place: int) -> Path:
        """Where the worker at a place listens for the others."""
        return self._folder / f"worker-{place}"
