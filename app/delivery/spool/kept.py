"""Instances of series that were judged, kept for those that come late: they are judged together, never alone."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from app.delivery.spool.quarantine import delete

HOUR_S: Final = 3600.0


class KeptSeries:
    """A folder of mode 0700 with a folder for each series, by its name in the spool. With 0 `hours` it keeps nothing.

    Whoever calls `rejoin`, `expire` or `drop_oldest` holds the spool's gate; a series has one claim at a time.
    """

    def __init__(self, folder: Path, hours: float) -> None:
        self._folder = folder
        self._hours = hours
        self._sizes: dict[tuple[str, int], int] = {}  # by name, and when it was put here: it does not change

    def keep(self, name: str, series: Path) -> bool:
        """Move the folder of a series here; whether it was, and need not be deleted."""
        if not (name and self._hours):
            return False
        place = self._folder / name
        delete(place)  # nothing, unless somebody put it there
        os.utime(series)
        series.rename(place)
        return True

    def rejoin(self, name: str, series: Path) -> None:
        """Move what is kept of a series into its folder, without what came again. It may be called again after a
        process that died at it."""
        place = self._folder / name
        if not name or not place.is_dir():
            return
        for instance in [path for path in place.iterdir() if not path.name.startswith(".")]:
            if not (series / instance.name).exists():
                instance.rename(series / instance.name)
        delete(place)

    def used_bytes(self) -> int:
        """The bytes of all that is kept. Thousands of files: it looks at those of a series once, however often a sender
        makes it ask."""
        sizes = {}
        for series in self._folder.iterdir():
            with suppress(FileNotFoundError):
                key = (series.name, series.lstat().st_mtime_ns)
                known = self._sizes.get(key)
                sizes[key] = bytes_in(series) if known is None else known
        self._sizes = sizes
        return sum(sizes.values())

    def expire(self, now: float) -> None:
        """Delete what was kept for long enough."""
        for series in self._folder.iterdir():
            with suppress(FileNotFoundError):
                if now - series.lstat().st_mtime > self._hours * HOUR_S:
                    delete(series)

    def drop_oldest(self) -> bool:
        """Delete the series that has been kept for longest, to make room; whether there was one."""
        oldest = min(self._folder.iterdir(), key=lambda series: series.lstat().st_mtime, default=None)
        if oldest is not None:
            delete(oldest)
        return oldest is not None


def bytes_in(folder: Path) -> int:
    """The bytes of all files below a folder, as far as they stay there."""
    used = 0
    # Others rename and delete meanwhile: os.walk passes over what has gone, where Path.rglob raises.
    for where, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                used += Path(where, name).lstat().st_size
    return used
