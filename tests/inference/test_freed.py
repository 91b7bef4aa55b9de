"""Giving freed memory back."""

from __future__ import annotations

import ctypes
from types import SimpleNamespace

import pytest

from app.inference.freed import give_back_freed


def test_asks_the_c_library_to_keep_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: SimpleNamespace(malloc_trim=asked.append))
    give_back_freed()
    assert asked == [0]


def test_does_without_a_c_library_that_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: SimpleNamespace())
    give_back_freed()


def test_the_real_one_can_be_asked() -> None:
    give_back_freed()
