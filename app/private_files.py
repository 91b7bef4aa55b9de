"""Where state lies: private folders, and what is moved out of the way when it lies where our own file belongs."""

from __future__ import annotations

import errno
import os
import stat
import uuid
from pathlib import Path
from typing import Final

from app.errors import SettingsError

PRIVATE: Final = 0o700
PRIVATE_FILE: Final = 0o600
OTHERS: Final = 0o077
FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})  # of the disk, a quota, a limit of the process


def state_folder(path: Path, setting: str = "LUNGSCOPE_SPOOL_DIR") -> None:
    """Make a folder that a setting names, or take it as it is; raises SettingsError for one that cannot be used or kept
    private.

    A disk that is full now does not stop the start where the folder is there: it is waited for.
    """
    try:
        private_folder(path)
        probe = path / f".probe-{uuid.uuid4()}"
        os.close(os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, PRIVATE_FILE))
        probe.unlink()
    except OSError as error:
        if error.errno in FULL and path.is_dir():
            return
        raise unusable(path, error, setting) from None


def unusable(path: Path, error: OSError, setting: str = "LUNGSCOPE_SPOOL_DIR") -> SettingsError:
    """What to say of a folder that cannot be used."""
    return SettingsError(
        found=f"{path}, where {setting} points, which cannot be used: {error.strerror}",
        expected="a folder that this user owns and may write, or a place where it may make one",
        remedy="Name another one, or a folder within it that is made here with mode 0700.",
    )


def private_folder(path: Path) -> None:
    """Make a folder of mode 0700 whatever the umask, and tighten one that is ours.

    Raises OSError; PermissionError for one of another user that more than its owner may enter.
    """
    path.mkdir(PRIVATE, parents=True, exist_ok=True)
    found = path.stat()
    mode = stat.S_IMODE(found.st_mode)
    if mode == PRIVATE:
        return
    if found.st_uid == os.geteuid():
        path.chmod(PRIVATE)
    elif mode & OTHERS:
        raise PermissionError(errno.EPERM, f"it belongs to another user and others may enter it (mode {mode:04o})")


def own_folder(path: Path) -> None:
    """A `private_folder` of ours; a file or a broken link in its place is set aside."""
    if os.path.lexists(path) and not path.is_dir():
        set_aside(path)
    private_folder(path)


def set_aside(path: Path, mark: str = "set-aside") -> Path:
    """Give whatever lies at `path` another name beside it, which is returned."""
    aside = path.with_name(f"{path.name}.{mark}-{uuid.uuid4()}")
    path.rename(aside)
    return aside


def private_opener(path: str, flags: int) -> int:
    """An `opener` for `open`: only the owner may read what it makes, whatever the umask."""
    descriptor = os.open(path, flags, PRIVATE_FILE)
    os.fchmod(descriptor, PRIVATE_FILE)
    return descriptor


def sync(path: Path) -> None:
    """Return once a file's bytes, or a folder's names, are on the disk: fsync(2)."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
