"""A store that cannot be used is set aside once, and a new one begun; what passes by itself is waited for."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from app.delivery.database import sqlite as module
from app.delivery.database.store import ResultStore
from app.delivery.database.tables import FIRST_TABLES
from app.errors import SettingsError
from app.reports.result import ResultObject

Damage = Callable[[Path], None]
NAME: Final = "results.sqlite3"


def result(uid: str = "2.25.1") -> ResultObject:
    return ResultObject(uid, "dicom", "2.25.2", "2.25.3", "{}", b"object" * 10_000)


def put(store: ResultStore, *uids: str) -> None:
    store.put("claim", [result(uid) for uid in uids], {"dicom": ["pacs"]}, now=0, expires_at=4e9)


def garbage(path: Path) -> None:
    path.write_bytes(b"garbage" * 5000)


def a_few_bytes(path: Path) -> None:
    path.write_bytes(b"SQLite")


def truncated(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def other_tables(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE objects (name TEXT)")


def foreign_tables(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE places (name TEXT)")


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "in it").touch()


def a_dangling_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere/at all")


def a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


DAMAGES: Final = [garbage, a_few_bytes, truncated, other_tables, foreign_tables, a_folder, a_dangling_link, a_pipe]


def set_aside(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.name.startswith(f"{NAME}.damaged-")]


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_at_the_start_is_set_aside_by_one_of_several(
    tmp_path: Path, damage: Damage, caplog: pytest.LogCaptureFixture
) -> None:
    put(ResultStore(tmp_path / NAME), "1")
    damage(tmp_path / NAME)
    with ThreadPoolExecutor(4) as pool:
        stores = list(pool.map(ResultStore, [tmp_path / NAME] * 4))
    (aside,) = set_aside(tmp_path)
    assert caplog.text.count("set aside") == 1
    assert aside.name in caplog.text
    put(stores[0], "2")
    assert stores[3].find() == ["2"]


@pytest.mark.parametrize("damage", [garbage, a_folder, a_dangling_link, Path.unlink])
def test_damage_while_it_is_used_is_set_aside_by_one_of_several(tmp_path: Path, damage: Damage) -> None:
    stores = [ResultStore(tmp_path / NAME) for _ in range(3)]
    put(stores[0], "1")
    damage(tmp_path / NAME)

    def find(store: ResultStore) -> None:
        try:
            store.find()
        except sqlite3.DatabaseError:
            return

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(find, stores * 2))
    assert len(set_aside(tmp_path)) == (damage is not Path.unlink)
    for number, store in enumerate(stores):
        put(store, str(number))
    assert len(stores[0].find()) == 3


def test_damage_deep_in_the_file_is_set_aside_when_it_shows(tmp_path: Path) -> None:
    store = ResultStore(tmp_path / NAME)
    put(store, *map(str, range(20)))
    with closing(sqlite3.connect(tmp_path / NAME)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    data = bytearray((tmp_path / NAME).read_bytes())
    data[4096 * 3 :] = b"\xa5" * (len(data) - 4096 * 3)
    (tmp_path / NAME).write_bytes(data)
    with pytest.raises(sqlite3.DatabaseError):
        store.expire(5e9)
    assert len(set_aside(tmp_path)) == 1
    assert store.expire(5e9) == 0


def test_a_text_that_is_none_is_damage_too(tmp_path: Path) -> None:
    store = ResultStore(tmp_path / NAME)
    put(store, "1")
    with closing(sqlite3.connect(tmp_path / NAME)) as connection, connection:
        connection.execute("UPDATE objects SET uid = CAST(x'31ff' AS TEXT)")
    with pytest.raises(sqlite3.OperationalError):
        store.find()
    assert (store.find(), len(set_aside(tmp_path))) == ([], 1)


def test_a_table_that_somebody_drops_is_damage_too(tmp_path: Path) -> None:
    store = ResultStore(tmp_path / NAME)
    with closing(sqlite3.connect(tmp_path / NAME)) as connection:
        connection.execute("DROP TABLE objects")
    with pytest.raises(sqlite3.OperationalError):
        store.find()
    assert (store.find(), len(set_aside(tmp_path))) == ([], 1)


@pytest.mark.parametrize("ending", ["-wal", "-shm", "-journal"])
@pytest.mark.parametrize("odd", [garbage, Path.touch, Path.mkdir])
def test_something_else_beside_it_costs_no_result(tmp_path: Path, ending: str, odd: Damage) -> None:
    put(ResultStore(tmp_path / NAME), "1")
    odd(tmp_path / (NAME + ending))
    assert ResultStore(tmp_path / NAME).find() == ["1"]


def test_a_log_that_was_left_of_another_store_is_not_taken_for_its_own(tmp_path: Path) -> None:
    store = ResultStore(tmp_path / NAME)
    with closing(sqlite3.connect(tmp_path / NAME)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM objects").fetchall()
        put(store, "1")
        shutil.copy(tmp_path / f"{NAME}-wal", tmp_path / "left")
    (tmp_path / NAME).unlink()
    (tmp_path / "left").rename(tmp_path / f"{NAME}-wal")
    store = ResultStore(tmp_path / NAME)
    put(store, "2")
    assert "2" in store.find()


def test_an_empty_file_is_a_new_store(tmp_path: Path) -> None:
    (tmp_path / NAME).touch()
    put(ResultStore(tmp_path / NAME), "1")
    assert not set_aside(tmp_path)


def test_one_that_another_program_holds_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FOREIGN_TIMEOUT_S", 0.0)
    put(ResultStore(tmp_path / NAME), "1")
    with closing(sqlite3.connect(tmp_path / NAME, isolation_level=None)) as foreign:
        foreign.execute("PRAGMA locking_mode = EXCLUSIVE")
        foreign.execute("BEGIN EXCLUSIVE")
        store = ResultStore(tmp_path / NAME)
        assert store.watch.trouble == "database is locked"
        with pytest.raises(sqlite3.OperationalError):
            store.find()
    assert store.find() == ["1"]
    assert not set_aside(tmp_path)


def test_files_are_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / NAME
    path.touch(0o666)
    path.chmod(0o444)
    put(ResultStore(path), "1")
    assert {each.stat().st_mode & 0o777 for each in tmp_path.iterdir()} == {0o600}


def test_what_was_set_aside_goes_when_results_of_its_time_do(tmp_path: Path) -> None:
    garbage(tmp_path / NAME)
    store = ResultStore(tmp_path / NAME)
    (aside,) = set_aside(tmp_path)
    store.forget_damaged(aside.stat().st_ctime - 1)
    assert aside.exists()
    store.forget_damaged(aside.stat().st_ctime + 1)
    assert not aside.exists()


def test_where_there_can_be_none_the_start_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"results\.sqlite3"):
        ResultStore(tmp_path / "absent" / NAME)


def test_a_database_from_before_gets_the_tables_that_are_new(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / NAME)) as connection:
        connection.executescript(FIRST_TABLES)
        connection.execute("INSERT INTO objects VALUES ('1', 'dicom', '1.2', '1.3', '{}', x'00', 4e9)")
        connection.execute("INSERT INTO deliveries (destination, uid, due_at) VALUES ('pacs', '1', 0)")
        connection.commit()
    store = ResultStore(tmp_path / NAME)
    assert not set_aside(tmp_path)
    assert (store.find(), store.waiting("pacs")) == (["1"], 1)
    assert store.known("name") is None
    assert store.statuses("1.2", {}) == []
