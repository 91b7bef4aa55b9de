"""What is said of an error in a table or on a line: its code, and a text without patient data."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Final

from app.errors.base import LungscopeError

UNREADABLE: Final = "unreadable_file"


def described(error: Exception) -> tuple[str, str]:
    """Code and text. An error that nobody foresaw is named by its type and place: its own text may hold patient
    data."""
    if isinstance(error, LungscopeError):
        return error.code, str(error)
    if isinstance(error, OSError):
        return UNREADABLE, error.strerror or "cannot be read"
    return LungscopeError.code, f"{type(error).__name__} at {_place(error)}; this is a bug"


def _place(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "an unknown place"
