"""A spooled series while it is judged."""

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
    """A series to be judged by nobody else."""

    id: str
    _folder: Path
    _trash: Path
    _lock: int
    _quarantine: Quarantine

    @property
    def paths(self) -> list[Path]:
        """The files of its instances."""
        return self._quarantine.usable(self._folder)

    @property
    def arrived(self) -> datetime:
        """When its last instance came, the same for every attempt."""
        return datetime.fromtimestamp(max(path.stat().st_mtime for path in self.paths)).astimezone()

    def begin(self) -> int:
        """Count an attempt before it can kill the process; returns its number, 1 for the first."""
        attempt = self._attempts() + 1
        self._count(attempt)
        return attempt

    def forgive(self) -> None:
        """Do not count the attempt: the series was not at fault."""
        self._count(max(0, self._attempts() - 1))

    def done(self) -> None:
        """Delete it."""
        try:
            # Out of sight first: nobody may take over what is half deleted.
            self._folder.rename(self._trash / self.id)
            shutil.rmtree(self._trash / self.id, ignore_errors=True)
        finally:
            self.release()

    def set_apart(self, why: str) -> None:
        """Move all of it to quarantine."""
        try:
            self._quarantine.take(self._folder, why)
        finally:
            self.release()

    def release(self) -> None:
        """Leave it to the next attempt, if it is not gone."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _attempts(self) -> int:
        """As counted; none where the lock holds something else."""
        text = os.pread(self._lock, COUNT_BYTES, 0).strip()
        return int(text) if text.isdigit() else 0

    def _count(self, attempts: int) -> None:
        os.pwrite(self._lock, b"%-*d" % (COUNT_BYTES, attempts), 0)
