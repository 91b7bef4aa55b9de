"""The arithmetic model under the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.inference import registry
from tests.fakes import ArithmeticModels, write_models


@pytest.fixture
def arithmetic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands find it, on the runtime whose answer is arithmetic."""
    write_models(tmp_path / "models")
    monkeypatch.setenv("LUNGSCOPE_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.setattr(registry, "create_backend", lambda _name, _threads: ArithmeticModels())
