"""Whether the machine's memory keeps its pace: spells in which it is slow on every core at once, with nothing running.

A slice goes through a few megabytes, more than the cache that a core has to itself. Where such spells come every few
seconds, the slowest requests at a fixed rate were seen to fall into them (docs/decisions/0016).
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Final

import numpy as np
from numpy.typing import NDArray

COPIED_BYTES: Final = 2 << 20  # with the copy more than most cores have of a cache of their own
SLOW: Final = 1.8  # times the median
APART_S: Final = 0.002  # slow copies less than this apart are one spell
MIN_SPELL_S: Final = 0.005
Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class MemoryPace:
    """Spells in ms in which copies took SLOW times as long on all cores, in so many seconds: where spells of each core,
    of MIN_SPELL_S at least, overlap."""

    seconds: float
    spells_ms: tuple[float, ...]

    @property
    def share(self) -> float:
        """Of the time."""
        return sum(self.spells_ms) / 1e3 / self.seconds


def measure(seconds: float) -> MemoryPace:
    """Copy from one place to another on every core for some seconds."""
    cores = sorted(os.sched_getaffinity(0))
    until = time.perf_counter() + seconds
    with ProcessPoolExecutor(len(cores), get_context("spawn")) as pool:
        laps = list(pool.map(_copy, cores, [until] * len(cores)))
    began = max(float(moments[0]) for moments, _ in laps)
    spells = in_all([slow_spans(*each) for each in laps])
    return MemoryPace(until - began, tuple(1e3 * (end - begin) for begin, end in spells))


def _copy(core: int, until: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """When each copy began by the system's monotonic clock, and what it took."""
    os.sched_setaffinity(0, [core])
    source, target = (np.ones(COPIED_BYTES, np.uint8) for _ in range(2))
    times = [time.perf_counter()]
    while times[-1] < until:
        np.copyto(target, source)
        times.append(time.perf_counter())
    moments = np.array(times)
    return moments[:-1], np.diff(moments)


def slow_spans(began: NDArray[np.float64], took: NDArray[np.float64]) -> list[Span]:
    """Begin and end of each stretch of at least MIN_SPELL_S in which copies were slow."""
    slow = np.flatnonzero(took > SLOW * np.median(took))
    spans: list[Span] = []
    for begin, end in zip(began[slow].tolist(), (began + took)[slow].tolist(), strict=True):
        if spans and begin - spans[-1][1] < APART_S:
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((begin, end))
    return [span for span in spans if span[1] - span[0] >= MIN_SPELL_S]


def in_all(spans: Sequence[Sequence[Span]]) -> list[Span]:
    """Where a span of each of the sequences overlaps."""
    first, *others = spans
    common = list(first)
    for other in others:
        both = ((max(a, c), min(b, d)) for a, b in common for c, d in other)
        common = [(begin, end) for begin, end in both if begin < end]
    return common
