"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("LUNGSCOPE_DATA", REPOSITORY.parent / "shared" / "data"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the development data; its tests skip without it, but must not skip where CI has it."""
    if not DATA.is_dir():
        pytest.skip(f"development data not found: set LUNGSCOPE_DATA (looked in {DATA})")
    return DATA
