"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.serving.service import Service
from tests.clock import Clock

REPOSITORY = Path(__file__).resolve().parents[1]
# A template of cells takes half a second to start, and most tests make a service of their own. Those about cells, and
# those of the running service, ask for them; tests/cell compares both ways of decoding.
os.environ.setdefault("LUNGSCOPE_DECODING", "process")
DATA = Path(os.environ.get("LUNGSCOPE_DATA", REPOSITORY.parent / "shared" / "data"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the development data. Its tests skip without it, unless LUNGSCOPE_REQUIRE_DATA is set, as in CI."""
    if not DATA.is_dir():
        reason = f"development data not found: set LUNGSCOPE_DATA (looked in {DATA})"
        if os.environ.get("LUNGSCOPE_REQUIRE_DATA"):
            pytest.fail(reason)
        pytest.skip(reason)
    return DATA


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module", params=["lungscope", "stock"])
def server(request: pytest.FixtureRequest) -> str:
    """LUNGSCOPE_SERVER: our server and plain uvicorn, under which a client sees the same but for what docs/serving.md
    lists. What needs ours says so by `tests.servers.OURS`."""
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def service(server: str) -> Iterator[Service]:
    """The shipped bundles, ready behind a socket."""
    service = Service(environment={"LUNGSCOPE_SERVER": server, "LUNGSCOPE_DECODING": "cell"})
    service.wait_until_ready()
    yield service
    service.process.terminate()
    assert service.end() == 0
