"""Locks among processes that a killed one loses: flock(2) on a file."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from app.private_files import PRIVATE_FILE, set_aside

OPENING: Final = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
NO_FILE: Final = frozenset({errno.EISDIR, errno.ELOOP, errno.ENXIO})  # a folder, a link, a socket


def try_lock(path: Path, *, shared: bool = False) -> int | None:
    """Lock a file, created when missing, and return its descriptor, which holds the lock until closed.

    None when another process has it, or when the file's folder is gone. Any number may have it `shared`.
    """
    try:
        descriptor = _opened(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        # Its last owner may have removed the file between the two calls: then the lock is on nothing.
        if os.path.samestat(os.fstat(descriptor), path.stat()):
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold the lock on a file, waiting for it."""
    descriptor = _opened(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def held_if_free(path: Path) -> Iterator[bool]:
    """Hold the lock on a file if nobody else does; yields whether."""
    descriptor = try_lock(path)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _opened(path: Path) -> int:
    """Open a lock's file. What lies there and can be none is set aside, and one of ours made readable again."""
    try:
        return os.open(path, OPENING, PRIVATE_FILE)
    except PermissionError:
        path.chmod(PRIVATE_FILE)
    except OSError as error:
        if error.errno not in NO_FILE:
            raise
        set_aside(path)
    return os.open(path, OPENING, PRIVATE_FILE)
