"""When to replace a dead worker: at once, or after a pause that doubles if it died soon after its start."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

LIVED_S: Final = 60.0  # from its start: TensorFlow loads for as long on a throttled core
FIRST_PAUSE_S: Final = 1.0
MAX_PAUSE_S: Final = 60.0  # what was full, and is not any more, is found within a minute


@dataclass(slots=True)
class _Place:
    started_s: float
    early_deaths: int = 0
    due_s: float | None = None


class Restarts:
    """The starts and deaths of workers by place; `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._places: dict[int, _Place] = {}

    def started(self, place: int) -> None:
        """Note that a worker has started at `place`."""
        deaths = self._places[place].early_deaths if place in self._places else 0
        self._places[place] = _Place(self._clock(), deaths)

    def died(self, place: int) -> float:
        """Note that the worker at `place` has died; returns the pause in seconds before the next starts, the same when
        asked again."""
        now = self._clock()
        found = self._places.setdefault(place, _Place(now - LIVED_S))
        if found.due_s is None:
            found.early_deaths = 0 if now - found.started_s >= LIVED_S else found.early_deaths + 1
            pause_s = FIRST_PAUSE_S * 2.0 ** min(found.early_deaths - 1, 32) if found.early_deaths else 0.0
            found.due_s = now + min(MAX_PAUSE_S, pause_s)
        return max(0.0, found.due_s - now)

    def waits(self, place: int) -> bool:
        """Whether the worker at `place` is dead and not yet replaced."""
        return place in self._places and self._places[place].due_s is not None

    def due(self, place: int) -> bool:
        """Whether the dead worker at `place` may be replaced now."""
        return self.died(place) <= 0
