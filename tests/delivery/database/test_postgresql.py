"""A database on a PostgreSQL server: what it has of its own, and what it does when the server does not do its part."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from app.delivery.database.clock_steps import ClockReading
from app.delivery.database.storage import ServerFault
from app.delivery.database.store import ResultStore
from app.delivery.database.workitems import Workitem
from app.errors import SettingsError, StorageFull, StorageUnavailable
from app.reports.result import ResultObject
from benchmarks.serving.service import eventually
from tests.postgresql import Cluster

LATER = 4e9


def result(uid: str = "2.25.1") -> ResultObject:
    return ResultObject(uid, "dicom", "2.25.2", "2.25.3", "{}", b"object")


def put(store: ResultStore, *uids: str) -> None:
    store.put(uids[0], [result(uid) for uid in uids], {"dicom": ["pacs"]}, now=0, expires_at=LATER)


def has_turn(store: ResultStore, name: str) -> bool:
    with store.turn(name) as mine:
        return mine


@pytest.fixture
def cluster(postgresql: Cluster) -> Cluster:
    postgresql.empty()
    return postgresql


@pytest.fixture
def store(tmp_path: Path, cluster: Cluster) -> ResultStore:
    return ResultStore(tmp_path / "results.sqlite3", cluster.url)


@contextmanager
def operator(cluster: Cluster) -> Iterator[Any]:
    """Somebody else at the server."""
    import psycopg

    with psycopg.connect(cluster.url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("SET search_path TO lungscope_results")
        yield connection


END_ALL = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND state <> ''"


@pytest.mark.interop
def test_what_has_a_nul_is_not_there_and_no_fault(store: ResultStore) -> None:
    put(store, "1.2")
    assert store.workitem("1.2\0") is None
    assert store.submission("\0") is None
    assert store.statuses("1.2\0", {}) == []


@pytest.mark.interop
def test_several_that_begin_at_once_share_it_and_lines_come_in_the_order_of_arrival(
    tmp_path: Path, cluster: Cluster
) -> None:
    with ThreadPoolExecutor(6) as pool:
        stores = list(pool.map(lambda _: ResultStore(tmp_path / "results.sqlite3", cluster.url), range(6)))
        list(pool.map(lambda number: put(stores[number % 6], f"{number}.2", f"{number}.1"), range(60)))
    found = stores[0].find()
    assert len(found) == 120
    assert all(found[n + 1] == found[n].replace(".2", ".1") for n in range(0, 120, 2))
    due = stores[1].due("pacs", 0)
    assert due is not None
    assert due.uid == found[0]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.interop
def test_a_turn_belongs_to_one_process_and_goes_with_it(tmp_path: Path, store: ResultStore, cluster: Cluster) -> None:
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            with ResultStore(tmp_path / "results.sqlite3", cluster.url).turn("pacs") as mine:
                os.write(theirs, b"1" if mine else b"0")
                signal.pause()
        finally:
            os._exit(1)
    assert os.read(ours, 1) == b"1"
    with store.turn("pacs") as mine, store.turn("fhir") as another:
        assert (mine, another) == (False, True)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert eventually(lambda: has_turn(store, "pacs"))  # the server has to notice
    for descriptor in (ours, theirs):
        os.close(descriptor)


@pytest.mark.interop
def test_connections_that_the_server_has_ended_are_replaced(store: ResultStore, cluster: Cluster) -> None:
    put(store, "1")
    with operator(cluster) as other:
        other.execute(END_ALL)
    assert store.find() == ["1"]
    put(store, "2")
    cluster.stop("immediate")
    with pytest.raises(StorageUnavailable, match="PostgreSQL cannot be reached"), store.watch.guard():
        put(store, "3")
    cluster.start()
    assert store.find() == ["1", "2"]
    assert store.watch.trouble is not None
    store.probe()


@pytest.mark.interop
def test_what_was_done_in_a_transaction_that_is_broken_off_is_undone(store: ResultStore, cluster: Cluster) -> None:
    def broken_off(other: Any) -> None:
        with store._transaction() as transaction:
            transaction.execute("DELETE FROM objects")
            other.execute(END_ALL)

    put(store, "1")
    with operator(cluster) as other, pytest.raises(ServerFault):
        broken_off(other)
    assert store.find() == ["1"]
    assert store.waiting("pacs") == 1


@pytest.mark.interop
def test_tables_that_somebody_drops_are_made_again(store: ResultStore, cluster: Cluster) -> None:
    put(store, "1")
    cluster.empty()
    with pytest.raises(ServerFault, match="UndefinedTable"):
        store.find()
    assert store.find() == []
    put(store, "2")
    assert store.find() == ["2"]


@pytest.mark.interop
def test_workitems_take_room_too(store: ResultStore) -> None:
    store.add_workitem(Workitem("1.2", "SCHEDULED", 0, {"00741204": "x" * 1000}), expires_at=LATER)
    assert 1000 < store.size() < 1100


@pytest.mark.interop
def test_what_is_deleted_makes_room(store: ResultStore) -> None:
    put(store, "1", "2")
    assert store.size() == 2 * len(b"object{}")
    assert not store.make_room(10)
    store.settle("pacs", "1")
    assert store.make_room(10)
    assert store.find() == ["2"]


@pytest.mark.interop
def test_the_clock_of_one_machine_says_nothing_of_anothers(store: ResultStore) -> None:
    put(store, "1")
    store.postpone("pacs", "1", 500)
    for reading in (ClockReading("one", 1000), ClockReading("other", 5000), ClockReading("one", 1010)):
        assert store.follow_clock(reading, now=100, keep_s=3600) == 0
    assert store.due("pacs", 100) is None
    assert store.follow_clock(ClockReading("other", 8000), now=100, keep_s=3600) == 3000
    assert store.due("pacs", 100) is not None


@pytest.mark.interop
def test_a_user_who_may_make_nothing_stops_the_start(tmp_path: Path, cluster: Cluster) -> None:
    with operator(cluster) as other:
        other.execute("DROP ROLE IF EXISTS guest")
        other.execute("CREATE ROLE guest LOGIN")
    url = cluster.url.replace("lungscope@", "guest:a-password@")
    with pytest.raises(SettingsError, match="InsufficientPrivilege") as refused:
        ResultStore(tmp_path / "results.sqlite3", url)
    assert "a-password" not in str(refused.value)


@pytest.mark.interop
def test_a_database_that_may_only_be_read_is_waited_for(tmp_path: Path, store: ResultStore, cluster: Cluster) -> None:
    put(store, "1")
    url = f"{cluster.url}?options=-c%20default_transaction_read_only%3Don"
    reading = ResultStore(tmp_path / "results.sqlite3", url)
    with pytest.raises(StorageUnavailable, match="ReadOnlySqlTransaction"), reading.watch.guard():
        put(reading, "2")
    assert reading.watch.trouble is not None


@pytest.mark.interop
def test_a_full_disk_of_the_server_is_said_as_that(store: ResultStore) -> None:
    from psycopg.errors import DiskFull

    with pytest.raises(StorageFull), store.watch.guard(), store._transaction():
        raise DiskFull


@pytest.mark.interop
def test_what_cannot_be_written_is_no_fault_of_the_server(store: ResultStore) -> None:
    from psycopg import DataError

    with pytest.raises(DataError), store.watch.guard():
        put(store, "with a \0")
    assert store.watch.trouble is None


@pytest.mark.interop
@pytest.mark.parametrize(
    "address", ["postgresql://user:a-password@[", "mysql://user:a-password@host/database", "a-password"]
)
def test_what_is_no_address_stops_the_start(tmp_path: Path, address: str) -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(SettingsError, match="LUNGSCOPE_DATABASE_URL") as refused:
        ResultStore(tmp_path / "results.sqlite3", address)
    assert "a-password" not in str(refused.value)


def test_without_a_driver_the_start_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "app.delivery.database.postgresql", raising=False)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(SettingsError, match=r"lungscope\[postgresql\]"):
        ResultStore(tmp_path / "results.sqlite3", "postgresql://host/database")
