"""The folder in which the processes of one service share counts: each holds a lock on it, which a killed one loses."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from app.errors import SettingsError
from app.locks import held_if_free, try_lock

PREFIX: Final = "lungscope-metrics-"
LOCK: Final = ".lock"


@contextmanager
def shared_metrics_folder() -> Iterator[Path]:
    """A private folder, gone afterwards; first those of services that were killed are removed. Raises SettingsError."""
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
    """Use a folder until the descriptor returned is closed, or the process ends; None when it is being removed."""
    return try_lock(folder / LOCK, shared=True)


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
