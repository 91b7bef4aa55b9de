"""The memory of bodies that are being received: each byte counts from its arrival on."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from app.errors import Overloaded


def _nothing() -> None:
    pass


class Arrival:
    """One body that is being received. `stop` wakes whoever waits for more of it, once it is `refused`."""

    def __init__(self, grow: Callable[[Arrival, int], None], began_s: float) -> None:
        self._grow = grow
        self.began_s = began_s
        self.size_bytes = 0
        self.refused = False
        self.stop: Callable[[], None] = _nothing

    def grow(self, count: int) -> None:
        """Count the next bytes. Where memory is short this refuses the body that costs most: this one or another."""
        self._grow(self, count)

    def require(self) -> None:
        """Raise Overloaded when the body was refused."""
        if self.refused:
            raise Overloaded(
                found=f"{self.size_bytes} bytes of a body while others need the memory",
                expected="room for what is being received",
                remedy="Try again after the seconds in Retry-After.",
            )


class Arrivals:
    """All bodies that are being received, and `held` bytes beside them: at most `max_bytes` together.

    One body alone may be of any size.

    Where they would be more, the body is refused that has cost most: its bytes times the seconds since it began. So who
    stops in the middle of a large body, or sends it slowly, makes room for all others.
    """

    def __init__(
        self,
        max_bytes: int = sys.maxsize,
        held: Callable[[], int] = lambda: 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_bytes = max_bytes
        self._held = held
        self._clock = clock
        self._open: set[Arrival] = set()
        self._bytes = 0

    def __len__(self) -> int:
        """Bytes received of bodies that are not complete."""
        return self._bytes

    @contextmanager
    def begin(self) -> Iterator[Arrival]:
        """A body, counted within the block."""
        arrival = Arrival(self._grow, self._clock())
        self._open.add(arrival)
        try:
            yield arrival
        finally:
            self._drop(arrival)

    def _grow(self, arrival: Arrival, count: int) -> None:
        arrival.size_bytes += count
        if arrival not in self._open:
            return
        self._bytes += count
        while self._bytes + (held := self._held()) > self._max_bytes and (held or len(self._open) > 1):
            self._refuse_costliest()
            if not self._open:
                return

    def _refuse_costliest(self) -> None:
        now = self._clock()
        costliest = max(self._open, key=lambda arrival: arrival.size_bytes * (now - arrival.began_s))
        costliest.refused = True
        self._drop(costliest)
        costliest.stop()

    def _drop(self, arrival: Arrival) -> None:
        if arrival in self._open:
            self._open.discard(arrival)
            self._bytes -= arrival.size_bytes
