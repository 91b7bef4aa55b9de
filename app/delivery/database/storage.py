"""Watches whether the disk that holds spool and results can be written, and says why when it cannot."""

from __future__ import annotations

import logging
import math
import os
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.errors import StorageFull, StorageUnavailable
from app.private_files import FULL

SPOOL: Final = "spool"  # in the service's folder, the places of spool and results
RESULTS: Final = "results.sqlite3"
ROOM_BYTES: Final = 4 << 20  # the results of one series, and what the database writes beside them
LOOK_S: Final = 1.0  # between two looks at the disk: whoever waits for room waits for seconds
FIRST_PAUSE_S: Final = 1.0
MAX_PAUSE_S: Final = 60.0  # room that is made is found within a minute
PRIMARY: Final = 0xFF  # the part of SQLite's extended result code that says what kind it is, sqlite.org/rescode.html
# What was to be written is at fault.
OF_CONTENT: Final = frozenset(
    {sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_RANGE}
)
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Stored:
    """What is kept, the setting that says where, what is lost with a database that is set aside, and the place."""

    name: str
    setting: str
    lost: str
    place: str = "disk"


SPOOL_AND_RESULTS: Final = Stored("spool and results", "LUNGSCOPE_SPOOL_DIR", "what was not delivered yet")


class ServerFault(OSError):
    """A database server cannot be reached, or refuses; `passing` where that may pass by itself. Its words name no host,
    user or patient."""

    def __init__(self, number: int, words: str, *, passing: bool) -> None:
        super().__init__(number, words)
        self.passing = passing


def pause_s(failures: int, first_s: float = FIRST_PAUSE_S, max_s: float = MAX_PAUSE_S) -> float:
    """The pause in seconds after so many failures in a row; it doubles with each."""
    return float(min(max_s, first_s * 2.0 ** min(failures - 1, 32)))


def result_code(error: BaseException) -> int | None:
    """SQLite's primary result code; None for an error without one."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & PRIMARY


def is_of_storage(error: BaseException) -> bool:
    """Whether the disk or the database caused an error, and not the data that were to be written."""
    code = result_code(error)
    if code is None:  # the module sqlite3 itself refuses a value by other errors than this one
        return isinstance(error, OSError | sqlite3.OperationalError)
    return code not in OF_CONTENT


class StorageWatch:
    """Checks one folder's disk at most once a second, and remembers the last write that failed.

    After a failure `trouble` says why, without path or patient data, until some megabytes can be written and neither
    `mend` nor `probe` raises. Work that fails again although there is room must wait for pauses that double
    (`may_work`). `on_change` is called when writing becomes possible or impossible. Safe among threads.
    """

    def __init__(
        self,
        folder: Path,
        probe: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
        of: Stored = SPOOL_AND_RESULTS,
    ) -> None:
        self._folder = folder
        self._of = of
        self._probe = probe
        self.mend: Callable[[], None] = lambda: None
        self.on_change: Callable[[bool], None] = lambda _: None
        self._clock = clock
        self._lock = threading.Lock()
        self._looked_at = -LOOK_S
        self._failures = 0
        self._work_from = 0.0
        self.trouble: str | None = None
        self._full = False

    def look(self) -> str | None:
        """The present trouble; None when the disk can be written."""
        with self._lock:
            if self._clock() - self._looked_at >= LOOK_S:
                self._say(*self._found())
                self._looked_at = self._clock()  # a server that does not answer takes seconds to look at
            return self.trouble

    def may_work(self) -> bool:
        """Whether to begin work that will write to the disk."""
        return self.look() is None and self._clock() >= self._work_from

    def require(self) -> None:
        """Raise StorageFull or StorageUnavailable when the disk cannot be written."""
        if self.look() is not None:
            raise self._refusal()

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Raise StorageFull or StorageUnavailable when a write or read in the block fails."""
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            if not is_of_storage(error):
                raise
            self.failed(error)
            raise self._refusal() from error

    def failed(self, error: BaseException) -> None:
        """Remember that a write or read failed."""
        with self._lock:
            self._failures += 1
            self._work_from = self._clock() + pause_s(self._failures)
            self._looked_at = self._clock()
            self._say(_reason(error), _is_full(error))

    def succeeded(self) -> None:
        """Note that work was written: the next pause is the first one again."""
        with self._lock:
            self._failures, self._work_from = 0, 0.0

    def _found(self) -> tuple[str | None, bool]:
        """The present trouble, and whether it is lack of room. It writes to the disk only after a failure."""
        try:
            room = os.statvfs(self._folder)
            if room.f_flag & os.ST_RDONLY:
                return "the file system is mounted read-only", False
            # What was full needs more, or it would be full again at once, back and forth.
            needed = ROOM_BYTES * 2 if self._full else ROOM_BYTES
            # Some file systems count neither blocks nor inodes.
            if room.f_blocks and room.f_bavail * room.f_frsize < needed:
                return f"less than {needed >> 20} MB are free", True
            if room.f_files and not room.f_favail:
                return "no more files can be made", True
            if self.trouble is not None:
                self.mend()
                _write_and_forget(self._folder)
                self._probe()
        except (OSError, sqlite3.Error) as error:
            return _reason(error), _is_full(error)
        return None, False

    def _say(self, trouble: str | None, full: bool) -> None:
        before, self.trouble, self._full = self.trouble, trouble, full
        if (before is None) == (trouble is None):
            return
        if trouble is None:
            logger.warning("%s can be written again: %s", self._of.name, self._folder)
        else:
            logger.error("%s cannot be written: %s: %s", self._of.name, self._folder, trouble)
        self.on_change(trouble is None)

    def _refusal(self) -> StorageFull | StorageUnavailable:
        kind = StorageFull if self._full else StorageUnavailable
        return kind(
            found=f"a {self._of.place} for {self._of.name} that cannot be used: {self.trouble}",
            expected="one that can be written",
            remedy=f"Try again later, nothing of this was stored; the operator has to look after {self._of.setting}.",
        )


def _is_full(error: BaseException) -> bool:
    return result_code(error) == sqlite3.SQLITE_FULL or getattr(error, "errno", None) in FULL


def _reason(error: BaseException) -> str:
    """The reason of an error, without the path that an OSError names."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _write_and_forget(folder: Path) -> None:
    """Write as many bytes as the work needs, and delete them; raises OSError."""
    with tempfile.TemporaryFile(dir=folder) as probe:
        probe.write(bytes(ROOM_BYTES))
        probe.flush()


def readable_count(count: Callable[[], float]) -> Callable[[], float]:
    """The value of `count`, or NaN if it cannot be read: one metric must not stop the others."""

    def read() -> float:
        try:
            return count()
        except (OSError, sqlite3.Error):
            return math.nan

    return read
