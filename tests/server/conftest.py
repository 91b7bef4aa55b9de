"""Our HTTP protocol on loopback, and a folder for what workers share."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.raw_http import App, serving


@pytest.fixture(scope="module", params=["uvloop", "asyncio"])
def app_and_port(request: pytest.FixtureRequest) -> Iterator[tuple[App, int]]:
    """An application that says what it received, and its port, under each event loop."""
    app = App()
    with serving(app, request.param) as port:
        yield app, port


@pytest.fixture
def port(app_and_port: tuple[App, int]) -> int:
    return app_and_port[1]


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files, of this process and of services."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path
