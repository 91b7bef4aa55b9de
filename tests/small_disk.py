"""A file system of a few megabytes, to be filled."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """Mount one at a folder that is made for it. Tests skip where that is not allowed."""
    folder.mkdir()
    if sys.platform != "linux" or os.geteuid() != 0 or not _mounted(folder, megabytes):
        pytest.skip("a small file system cannot be mounted here: not Linux, not root, or not allowed")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _mounted(folder: Path, megabytes: int) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def fill(folder: Path) -> Path:
    """Write a file there until nothing more goes in."""
    path = folder / "filler"
    with path.open("ab", buffering=0) as file:
        try:
            while file.write(bytes(1 << 20)):
                pass
        except OSError:
            return path
    raise AssertionError("it is never full")
