"""A claim: a spooled series that one worker has taken to judge."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from app.delivery.spool.kept import KeptSeries
from app.delivery.spool.quarantine import Quarantine

COUNT_BYTES: Final = 16  # of the attempts, in a claim's lock
MAX_COUNT: Final = 99  # a series is set apart long before: more is no number of ours
SEPARATOR: Final = "."  # between the name of a series and what tells its claims apart


@dataclass(slots=True, eq=False)
class Claim:
    """One spooled series, locked so that no other worker judges it."""

    id: str
    _folder: Path
    _trash: Path
    _lock: int
    _quarantine: Quarantine
    _kept: KeptSeries

    @property
    def series(self) -> str:
        """The name of the series in the spool; empty for a claim that an older version of the service made."""
        return self.id.partition(SEPARATOR)[0] if SEPARATOR in self.id else ""

    @property
    def instances(self) -> frozenset[str]:
        """The names of the series' instances in the spool."""
        return frozenset(path.name for path in self.paths)

    @property
    def paths(self) -> list[Path]:
        """The files of the series' instances."""
        return self._quarantine.usable(self._folder)

    @property
    def arrived(self) -> datetime:
        """When the last instance of the series came; the same for every attempt."""
        return datetime.fromtimestamp(max(path.stat().st_mtime for path in self.paths)).astimezone()

    @property
    def attempts(self) -> int:
        """The number of attempts so far, those of processes that are dead among them."""
        text = os.pread(self._lock, COUNT_BYTES, 0).strip()
        count = int(text) if text.isdigit() else 0
        return count if count <= MAX_COUNT else 0

    def begin(self) -> int:
        """Count an attempt before it can kill the process, or the machine; returns its number, 1 for the first."""
        attempt = self.attempts + 1
        self._count(attempt)
        return attempt

    def forgive(self) -> None:
        """Take back the count of the last attempt: the series was not at fault."""
        self._count(max(0, self.attempts - 1))

    def done(self, *, keep: bool = False) -> None:
        """End the claim, and delete the series or, with `keep`, leave it for instances that may come late."""
        try:
            if keep and self._kept.keep(self.series, self._folder):
                return
            # Out of sight first: nobody may take over what is half deleted.
            self._folder.rename(self._trash / self.id)
            shutil.rmtree(self._trash / self.id, ignore_errors=True)
        finally:
            self.release()

    def set_apart(self, why: str) -> None:
        """Move the whole series to quarantine and end the claim."""
        try:
            self._quarantine.take(self._folder, why)
        finally:
            self.release()

    def release(self) -> None:
        """End the claim; a series that still exists waits for its next attempt."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _count(self, attempts: int) -> None:
        os.pwrite(self._lock, b"%-*d" % (COUNT_BYTES, attempts), 0)
        os.fdatasync(self._lock)
