"""One piece of work at a time, of all workers: while the disk can be written, and who works is not to stop."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from app.delivery.storage import StorageWatch
from app.errors import Unavailable
from app.locks import held_if_free


def in_turn(
    watch: StorageWatch, lock: Path, may_begin: Callable[[], bool], now: float | None, work: Callable[[float], bool]
) -> bool:
    """What `work` returns at the time `now`, this moment by default; False where it may not begin, another process
    holds the lock, or the disk fails."""
    if not watch.may_work() or not may_begin():
        return False
    try:
        with watch.guard(), held_if_free(lock) as mine:
            return mine and work(time.time() if now is None else now)
    except Unavailable:  # as the watch has said
        return False
