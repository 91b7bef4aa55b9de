"""Fixtures shared by all tests."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import anyio
import pytest

from app.delivery.database import database
from app.telemetry import QUIET_LOGGERS, JsonFormatter
from benchmarks.serving.service import Service
from tests.clock import Clock
from tests.postgresql import BINARIES, Cluster, running_cluster

# anyio imports what this needs when it is first used: in threads, where CPython 3.11 may fail to parse what pytest
# rewrites ("AST constructor recursion depth mismatch").
open_file: Final = anyio.open_file
REPOSITORY = Path(__file__).resolve().parents[1]
# A template of cells takes half a second to start, and most tests make a service of their own. Those about cells, and
# those of the running service, ask for them; tests/cell compares both ways of decoding.
os.environ.setdefault("LUNGSCOPE_DECODING", "process")
DATA = Path(os.environ.get("LUNGSCOPE_DATA", REPOSITORY.parent / "shared" / "data"))


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """What a command has set for its process goes with its test: a log of all requests, on a stream that is closed."""
    root, quiet = logging.getLogger(), [logging.getLogger(name) for name in QUIET_LOGGERS]
    level, before = root.level, [(each.level, each.propagate) for each in quiet]
    yield
    root.setLevel(level)
    root.handlers[:] = [each for each in root.handlers if not isinstance(each.formatter, JsonFormatter)]
    for logger, (its_level, propagate) in zip(quiet, before, strict=True):
        logger.setLevel(its_level)
        logger.propagate = propagate


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
        from app.delivery.database.postgresql import PostgresSchema

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
