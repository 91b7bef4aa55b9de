"""The folder in which the workers of one service share their metrics. Each worker locks it; a killed worker loses its
lock.

prometheus_client maps sparse files into memory. If the disk is full when a hole is filled, the system kills the process
by SIGBUS. So this module writes the files in full before they are mapped.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from app.errors import NoSharedRoom, SettingsError
from app.locks import held_if_free, try_lock

PREFIX: Final = "lungscope-metrics-"
LOCK: Final = ".lock"
KILOBYTE: Final = 1024
# What the files of one worker take when every route, status and code is counted; prometheus_client names them so.
OF_WORKER: Final = {
    "counter": 384 * KILOBYTE,
    "histogram": 384 * KILOBYTE,
    "gauge_livesum": 16 * KILOBYTE,
    "gauge_livemin": 16 * KILOBYTE,
    "gauge_livemax": 16 * KILOBYTE,
    "gauge_livemostrecent": 16 * KILOBYTE,
}
OF_SUPERVISOR: Final = {"counter": 16 * KILOBYTE}
PAGE: Final = 4096
LAST_VALUE_BYTES: Final = 16  # a file's last value and its time may be zeros like the unused rest


@contextmanager
def shared_metrics_folder() -> Iterator[Path]:
    """Make a private folder for the block and remove it afterwards; first remove those of killed services. Raises
    SettingsError."""
    try:
        _remove_abandoned()
        folder, lock = _held_folder()
    except OSError:
        raise SettingsError(
            found="no folder for temporary files that can be written",
            expected="one in which the workers share their metrics",
            remedy="Set TMPDIR to one, or serve with --workers 1.",
        ) from None
    try:
        yield folder
    finally:
        os.close(lock)
        shutil.rmtree(folder, ignore_errors=True)


def hold(folder: Path) -> int | None:
    """Lock a folder until the returned descriptor is closed or the process ends; None when the folder is being
    removed."""
    return try_lock(folder / LOCK, shared=True)


def require_room(folder: Path, workers: int) -> None:
    """Raise NoSharedRoom unless the disk has room for the files of `workers`, one replacement and their supervisor."""
    needed = sum(OF_WORKER.values()) * (workers + 1) + sum(OF_SUPERVISOR.values())
    trial = folder / ".trial"
    try:
        _fill(trial, needed)
    except OSError as error:
        raise no_shared_room(folder, needed, error) from None
    finally:
        trial.unlink(missing_ok=True)


def reserve(folder: Path, sizes: Mapping[str, int] = OF_WORKER) -> None:
    """Write this process' metrics files in full, before it makes a metric; raises NoSharedRoom."""
    try:
        for kind, size in sizes.items():
            _reserve_one(folder / f"{kind}_{os.getpid()}.db", size)
    except OSError as error:
        trim(folder, os.getpid())
        raise no_shared_room(folder, sum(sizes.values()), error) from None


def trim(folder: Path, pid: int) -> None:
    """Free the unused part of the files of a process that has ended; its counts stay."""
    for path in folder.glob(f"*_{pid}.db"):
        with suppress(OSError):
            used = len(path.read_bytes().rstrip(b"\0"))
            os.truncate(path, -(-(used + LAST_VALUE_BYTES) // PAGE) * PAGE)


def no_shared_room(folder: Path, needed: int, error: OSError) -> NoSharedRoom:
    """The error for workers that find no room to share metrics."""
    return NoSharedRoom(
        found=f"too little room in {folder}: {error.strerror}",
        expected=f"{needed} bytes for what the workers share",
        remedy="Make room there, set TMPDIR to another folder, or serve with --workers 1.",
    )


def _reserve_one(path: Path, size: int) -> None:
    if path.exists():  # of a process that had the same number
        _fill(path, size)
        return
    # Whoever reads all files meanwhile cannot read an empty one.
    part = path.with_suffix(".part")
    try:
        _fill(part, size)
        part.rename(path)
    finally:
        part.unlink(missing_ok=True)


def _fill(path: Path, size: int) -> None:
    """Lengthen a file to `size` bytes, without holes."""
    with path.open("ab", buffering=0) as file:
        missing = size - file.tell()
        while missing > 0:  # a full disk takes a part first
            missing -= file.write(bytes(missing))


def _held_folder() -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        # Another start may find it before it is locked, and remove it.
        if (lock := hold(folder)) is not None:
            return folder, lock


def _remove_abandoned() -> None:
    for lock in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/{LOCK}"):
        # It may be another user's, or gone by now.
        with suppress(OSError), held_if_free(lock) as abandoned:
            if abandoned:
                shutil.rmtree(lock.parent, ignore_errors=True)
