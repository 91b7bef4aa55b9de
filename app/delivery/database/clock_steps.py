"""When the system's clock is set: what waits must not become too old, or young, by that.

A clock that is wrong by years until the network tells the time is common after a start. The time since the machine
started goes on evenly; the clock was set by as much as the difference of both changes (clock_gettime(2)).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")  # random(4)
SMALLEST_S: Final = 60.0  # smaller ones, and what a clock is slowed or hastened by, matter to nothing that waits hours


@dataclass(frozen=True, slots=True)
class ClockReading:
    """Which start of the machine it is, and by how many seconds the clock is ahead of the time since then."""

    boot: str
    ahead_s: float

    def step_since(self, before: ClockReading) -> float:
        """By how many seconds the clock was set since an earlier reading; 0 where it was not, or nobody can tell."""
        step_s = self.ahead_s - before.ahead_s
        return step_s if self.boot == before.boot and abs(step_s) >= SMALLEST_S else 0.0


def read_clock() -> ClockReading | None:
    """The reading now; None where the system does not tell."""
    try:
        with BOOT_ID.open(encoding="ascii") as file:
            boot = file.read().strip()
    except OSError:
        return None
    return ClockReading(boot, time.time() - time.clock_gettime(time.CLOCK_BOOTTIME))
