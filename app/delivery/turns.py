"""One piece of work at a time, of all workers: while the disk can be written, and who works is not to stop."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from app.delivery.database.database import Database
from app.errors import Unavailable
from app.locks import held_if_free


def in_turn(
    database: Database, lock: Path, may_begin: Callable[[], bool], now: float | None, work: Callable[[float], bool]
) -> bool:
    """What `work` returns at the time `now`, this moment by default; False where it may not begin, another process
    holds the lock, or disk or database fail.

    On a server the database has a lock of the same name: it holds among machines whose folder shares no locks. That on
    the file outlasts a restart of the server.
    """
    watch = database.watch
    if not watch.may_work() or not may_begin():
        return False
    try:
        with watch.guard(), held_if_free(lock) as first:
            if not first:
                return False
            with database.turn(lock.stem) as mine:
                return mine and work(time.time() if now is None else now)
    except Unavailable:  # as the watch has said
        return False
