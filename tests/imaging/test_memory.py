"""Giving freed memory back."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from app.imaging.memory import give_back_freed


def test_asks_the_c_library_to_keep_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: SimpleNamespace(malloc_trim=asked.append))
    give_back_freed()
    assert asked == [0]


def test_does_without_a_c_library_that_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: SimpleNamespace())
    give_back_freed()


LEFT_IN_A_THREAD = """
import mmap
import os
import threading
from app.imaging.memory import give_back_freed

statm = os.open("/proc/self/statm", os.O_RDONLY)

def resident_bytes():
    return int(os.pread(statm, 100, 0).split()[1]) * mmap.PAGESIZE

def work():
    bytes(16 << 20)  # once that is freed, the C library takes smaller ones from the heap, and keeps them
    give_back_freed()
    before = resident_bytes()
    pieces = [n.to_bytes(1, "big") * 100_000 for n in range(40)]
    del pieces
    left = resident_bytes() - before
    give_back_freed()
    print(left, resident_bytes() - before)

thread = threading.Thread(target=work)
thread.start()
thread.join()
"""


@pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "malloc_trim") or not Path("/proc/self/statm").exists(),
    reason="needs a C library that gives memory back, and Linux's /proc",
)
def test_what_lies_at_the_end_of_a_threads_heap_is_given_back_too() -> None:
    run = subprocess.run([sys.executable, "-c", LEFT_IN_A_THREAD], capture_output=True, text=True, check=True)
    left, kept = map(int, run.stdout.split())
    assert left > 3_000_000
    assert kept < 500_000
