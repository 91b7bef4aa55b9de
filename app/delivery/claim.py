"""A claim: a spooled series that one worker has taken to judge."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from app.delivery.quarantine import Quarantine

COUNT_BYTES: Final = 16  # of the attempts, in a claim's lock


@dataclass(slots=True, eq=False)
class Claim:
    """One spooled series, locked so that no other worker judges it."""

    id: str
    _folder: Path
    _trash: Path
    _lock: int
    _quarantine: Quarantine

    @property
    def paths(self) -> list[Path]:
        """The files of the series' instances."""
        return self._quarantine.usable(self._folder)

    @property
    def arrived(self) -> datetime:
        """When the last instance of the series came; the same for every attempt."""
        return datetime.fromtimestamp(max(path.stat().st_mtime for path in self.paths)).astimezone()

    def begin(self) -> int:
        """Count an attempt before it can kill the process; returns its number, 1 for the first."""
        attempt = self._attempts() + 1
        self._count(attempt)
        return attempt

    def forgive(self) -> None:
        """Take back the count of the last attempt: the series was not at fault."""
        self._count(max(0, self._attempts() - 1))

    def done(self) -> None:
        """Delete the series and end the claim."""
        try:
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

    def _attempts(self) -> int:
        """The number of attempts so far; 0 if the lock file holds no number."""
        text = os.pread(self._lock, COUNT_BYTES, 0).strip()
        return int(text) if text.isdigit() else 0

    def _count(self, attempts: int) -> None:
        os.pwrite(self._lock, b"%-*d" % (COUNT_BYTES, attempts), 0)
