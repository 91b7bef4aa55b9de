"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from app.delivery import database
from benchmarks.serving.service import Service
from tests.clock import Clock
from tests.postgresql import BINARIES, Cluster, running_cluster

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


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Cluster]:
    """A PostgreSQL server. Its tests are `interop`, and skip where there is none, unless LUNGSCOPE_REQUIRE_INTEROP."""
    from tests.reports.conftest import absent

    if not BINARIES or find_spec("psycopg") is None:
        absent("PostgreSQL, or its driver psycopg, not found: make interop-packages")
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.interop)])
def each_database(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Databases without an address are files, or else on a server."""
    if request.param == "postgresql":
        from app.delivery.postgresql import PostgresSchema

        cluster: Cluster = request.getfixturevalue("postgresql")
        cluster.empty()
        monkeypatch.setattr(database, "SqliteFile", lambda _, schema: PostgresSchema(cluster.url, schema))


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
