"""How often, and how many at a time, one caller may ask."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from app.errors import TooManyRequests

ROUNDING_S: Final = 1e-6  # a clock that counts from the machine's start has no smaller steps after a year
MOST_CALLERS: Final = 10_000  # whose pace is remembered: where nobody has a name, every address is one


class Pace:
    """A token bucket for each caller: `burst` requests at once, and `per_second` of them in the long run.

    A bucket is one number: the time at which it will be full again (the generic cell rate algorithm, ITU-T I.371).
    """

    def __init__(self, per_second: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._each_s = 1 / per_second
        self._room_s = burst * self._each_s
        self._clock = clock
        self._full_at: dict[str, float] = {}

    def wait_s(self, caller: str) -> float:
        """Count a request and return 0; or do not, and return the seconds after which there is a token again."""
        now = self._clock()
        full_at = max(self._full_at.get(caller, 0.0), now) + self._each_s
        if (wait_s := full_at - now - self._room_s) > ROUNDING_S:
            return wait_s
        if len(self._full_at) >= MOST_CALLERS:
            self._forget(now)
        self._full_at[caller] = full_at
        return 0.0

    def _forget(self, now: float) -> None:
        """Drop full buckets, which are as good as new; if there are none, those that have been there longest."""
        self._full_at = {caller: at for caller, at in self._full_at.items() if at > now}
        for caller in list(self._full_at)[: len(self._full_at) - MOST_CALLERS + 1]:
            del self._full_at[caller]


class Quota:
    """Bounds on one caller in one worker: a pace, and the number of requests at work. None is no bound."""

    def __init__(self, pace: Pace | None, at_once: int | None) -> None:
        self._pace = pace
        self._at_once = at_once
        self._at_work: Counter[str] = Counter()

    @contextmanager
    def place(self, caller: str) -> Iterator[None]:
        """Count a request while it is at work; raises TooManyRequests."""
        if self._at_once is not None and self._at_work[caller] >= self._at_once:
            raise TooManyRequests(
                found=f"{self._at_work[caller]} requests of this caller at work or waiting",
                expected=f"at most {self._at_once} (LUNGSCOPE_CALLER_SHARE of the places)",
                remedy="Wait for some answers first.",
                retry_after_s=1,
            )
        if self._pace is not None and (wait_s := self._pace.wait_s(caller)) > 0:
            raise TooManyRequests(
                found="more requests of this caller than LUNGSCOPE_CALLER_RATE",
                expected="fewer a second",
                remedy="Try again after the seconds in Retry-After.",
                retry_after_s=math.ceil(wait_s),
            )
        self._at_work[caller] += 1
        try:
            yield
        finally:
            self._at_work[caller] -= 1
            if not self._at_work[caller]:
                del self._at_work[caller]
