"""The quarantine: unusable entries of the spool, moved out of the way of the others and deleted after a time."""

from __future__ import annotations

import errno
import logging
import os
import re
import shutil
import stat
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from app.private_files import PRIVATE, PRIVATE_FILE

NAME: Final = re.compile("[0-9a-f]{32}")  # of a series and an instance: see `Spool.name_of`
# What is wrong with one entry; with anything else, as a full disk, something is wrong with all of them.
OF_ONE_ENTRY: Final = frozenset(
    {errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR, errno.ELOOP, errno.EIO, errno.ENXIO, errno.EEXIST}
)
logger = logging.getLogger(__name__)


class Quarantine:
    """A folder of mode 0700 that gives each entry a new name. `on_entry` is called for each entry."""

    def __init__(self, folder: Path, on_entry: Callable[[], None] = lambda: None) -> None:
        self.folder = folder
        self._on_entry = on_entry
        self._immovable: set[Path] = set()

    def take(self, entry: Path, why: str) -> None:
        """Move an entry into quarantine. An entry that cannot be moved stays where it is and is logged once."""
        name = str(uuid.uuid4())
        try:
            _make_movable(entry)
            entry.rename(self.folder / name)
        except FileNotFoundError:
            return
        except OSError as error:
            if entry not in self._immovable:
                self._immovable.add(entry)
                logger.error("an entry of the spool is left out: %s, and cannot be moved: %s", why, error.strerror)
            return
        self._on_entry()
        logger.error("an entry of the spool is left out: %s; it is in quarantine as %s", why, name)

    @contextmanager
    def instead_of(self, entry: Path) -> Iterator[None]:
        """Move an entry into quarantine if the block fails through the entry's own fault; ignore an entry that has
        gone."""
        try:
            yield
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno not in OF_ONE_ENTRY:
                raise
            self.take(entry, f"it cannot be used: {error.strerror}")

    def takes_odd(self, entry: Path, *, named: bool = True) -> bool:
        """Move an entry into quarantine if it is not a folder or has a foreign name; whether it was moved or has
        gone."""
        try:
            if not stat.S_ISDIR(entry.lstat().st_mode):
                self.take(entry, "no folder")
                return True
        except FileNotFoundError:
            return True
        if named and not NAME.fullmatch(entry.name):
            self.take(entry, "a foreign name")
            return True
        return False

    def usable(self, folder: Path) -> list[Path]:
        """The instances of a series, sorted by name; every other file of the series is moved into quarantine."""
        entries = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
        return [path for path in entries if not self._takes_odd_instance(path)]

    def expire(self, before: float) -> None:
        """Delete entries older than the given time."""
        for entry in self.folder.iterdir():
            with suppress(FileNotFoundError):
                if entry.lstat().st_ctime < before:
                    delete(entry)

    def _takes_odd_instance(self, path: Path) -> bool:
        try:
            why = _why_unusable(path)
        except FileNotFoundError:
            return True
        except OSError as error:
            if error.errno not in OF_ONE_ENTRY:
                raise
            why = f"it cannot be read: {error.strerror}"
        if why is not None:
            self.take(path, why)
        return why is not None


def delete(entry: Path) -> None:
    """Delete a file, a link or a folder and its contents, as far as the system permits."""
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry, ignore_errors=True)
    else:
        with suppress(OSError):
            entry.unlink()


def _why_unusable(path: Path) -> str | None:
    """Why a file cannot be an instance; None when it may be one. Raises OSError if it cannot be opened."""
    if not NAME.fullmatch(path.name):
        return "a foreign name"
    # Without waiting for whoever writes into a pipe.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    if not stat.S_ISREG(found.st_mode):
        return "no file"
    return None if found.st_size else "an empty file"


def _make_movable(entry: Path) -> None:
    """Let the owner write to a folder, which rename(2) demands (EACCES otherwise)."""
    mode = entry.lstat().st_mode
    if not stat.S_ISLNK(mode):
        with suppress(PermissionError):
            entry.chmod(PRIVATE if stat.S_ISDIR(mode) else PRIVATE_FILE)
