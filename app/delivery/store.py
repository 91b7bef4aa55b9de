"""Finished result objects until they expire, and those that still have to be delivered: one SQLite database."""

from __future__ import annotations

import logging
import os
import sqlite3
import stat
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

from app.delivery.quarantine import delete
from app.delivery.storage import StorageWatch, result_code
from app.errors import SettingsError
from app.locks import held
from app.private_files import PRIVATE_FILE
from app.reports.result import ObjectKind, ResultObject

BUSY_TIMEOUT_S: Final = 30.0  # another process writes some megabytes meanwhile
FOREIGN_TIMEOUT_S: Final = 5.0  # whoever is not of this service may hold it for good
# Result codes of SQLite (sqlite.org/rescode.html): what passes by itself, and what does not.
PASSING: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR})
DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
BESIDE: Final = ("", "-wal", "-shm", "-journal")  # files of one database, by the ends of their names
DAMAGED_MARK: Final = ".damaged-"
SCHEMA: Final = """
BEGIN;
CREATE TABLE IF NOT EXISTS objects (
    uid TEXT PRIMARY KEY, kind TEXT NOT NULL, study_uid TEXT NOT NULL, series_uid TEXT NOT NULL,
    attributes TEXT NOT NULL, content BLOB NOT NULL, expires_at REAL NOT NULL);
CREATE INDEX IF NOT EXISTS objects_by_study ON objects (study_uid, series_uid);
CREATE TABLE IF NOT EXISTS deliveries (
    destination TEXT NOT NULL, uid TEXT NOT NULL REFERENCES objects ON DELETE CASCADE,
    attempts INTEGER NOT NULL DEFAULT 0, due_at REAL NOT NULL, PRIMARY KEY (destination, uid));
CREATE TABLE IF NOT EXISTS judged (claim TEXT PRIMARY KEY, expires_at REAL NOT NULL);
COMMIT;
"""
COLUMNS: Final = """
SELECT tables.name, columns.name, columns.type, columns.pk
FROM sqlite_schema AS tables JOIN pragma_table_info(tables.name) AS columns
WHERE tables.type = 'table' AND tables.name NOT LIKE 'sqlite_%'
"""
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Due:
    """What is to be delivered now, and how often that was tried."""

    uid: str
    content: bytes
    attempts: int


class _OtherSchema(sqlite3.DatabaseError):
    """A database of something else."""


class ResultStore:
    """The database, shared by all workers. Its folder must be private: it holds patient data.

    One that is damaged, or none of ours, is set aside under a name with the time, and a new one begun, at the start and
    whenever that shows; the log says where. `watch` knows whether it can be written.
    """

    def __init__(self, path: Path) -> None:
        """Raises SettingsError where there can be none, but not where that may pass: then each use tries again."""
        self._path = path
        self._inode: int | None = None
        self.watch = StorageWatch(path.parent, self.probe)
        try:
            self._open_or_begin(None)
        except (OSError, sqlite3.Error) as error:
            if result_code(error) not in PASSING:
                raise SettingsError(
                    found=f"{path}, which cannot be used: {error}",
                    expected="a database of results that this user may read and write, or none yet",
                    remedy="Correct its owner and mode, or move it away.",
                ) from None
            self.watch.failed(error)

    def probe(self) -> None:
        """Raise the error that writing would."""
        with closing(self._connect(FOREIGN_TIMEOUT_S)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.rollback()

    def put(
        self,
        claim: str,
        objects: Sequence[ResultObject],
        destinations: Mapping[ObjectKind, Sequence[str]],
        *,
        now: float,
        expires_at: float,
    ) -> None:
        """Keep the results of one claim and owe them to the destinations of their kind, all or nothing."""
        with self._transaction() as connection:
            connection.execute("INSERT OR IGNORE INTO judged VALUES (?, ?)", (claim, expires_at))
            for item in objects:
                connection.execute(
                    "INSERT INTO objects VALUES (?, ?, ?, ?, ?, ?, ?)"
                    " ON CONFLICT (uid) DO UPDATE SET expires_at = excluded.expires_at",
                    (*_columns(item), expires_at),
                )
                connection.executemany(
                    "INSERT OR IGNORE INTO deliveries (destination, uid, due_at) VALUES (?, ?, ?)",
                    [(name, item.uid, now) for name in destinations.get(item.kind, ())],
                )

    def is_judged(self, claim: str) -> bool:
        """Whether the results of a claim are here: then it is not judged again."""
        return bool(self._rows("SELECT 1 FROM judged WHERE claim = ?", claim))

    def forget(self, claim: str) -> None:
        """The claim is gone from the spool."""
        with self._transaction() as connection:
            connection.execute("DELETE FROM judged WHERE claim = ?", (claim,))

    def due(self, destination: str, now: float) -> Due | None:
        """The object that has waited longest for its next attempt."""
        rows = self._rows(
            "SELECT uid, content, attempts FROM deliveries JOIN objects USING (uid)"
            " WHERE destination = ? AND due_at <= ? ORDER BY due_at, deliveries.rowid LIMIT 1",
            destination,
            now,
        )
        return Due(*rows[0]) if rows else None

    def settle(self, destination: str, uid: str) -> None:
        """Nothing more is to be done: a FHIR bundle goes, a DICOM object can be fetched until it expires."""
        with self._transaction() as connection:
            connection.execute("DELETE FROM deliveries WHERE destination = ? AND uid = ?", (destination, uid))
            connection.execute(
                "DELETE FROM objects WHERE uid = ? AND kind = 'fhir' AND uid NOT IN (SELECT uid FROM deliveries)",
                (uid,),
            )

    def postpone(self, destination: str, uid: str, due_at: float) -> None:
        """Count an attempt that failed and name the time of the next."""
        with self._transaction() as connection:
            connection.execute(
                "UPDATE deliveries SET attempts = attempts + 1, due_at = ? WHERE destination = ? AND uid = ?",
                (due_at, destination, uid),
            )

    def expire(self, now: float) -> int:
        """Delete what is too old; returns how many deliveries were given up with it."""
        with self._transaction() as connection:
            old = "SELECT uid FROM objects WHERE expires_at <= ?"
            (undelivered,) = connection.execute(
                f"SELECT count(*) FROM deliveries WHERE uid IN ({old})",
                (now,),
            ).fetchone()
            connection.execute("DELETE FROM objects WHERE expires_at <= ?", (now,))
            connection.execute("DELETE FROM judged WHERE expires_at <= ?", (now,))
        return int(undelivered)

    def forget_damaged(self, before: float) -> None:
        """Delete databases that were set aside before that time."""
        for path in self._path.parent.glob(f"{self._path.name}*{DAMAGED_MARK}*"):
            with suppress(FileNotFoundError):
                if path.lstat().st_ctime < before:
                    delete(path)

    def waiting(self, destination: str) -> int:
        """Objects still to be delivered to a destination."""
        ((count,),) = self._rows("SELECT count(*) FROM deliveries WHERE destination = ?", destination)
        return int(count)

    def find(self, study_uid: str | None = None, series_uid: str | None = None, uid: str | None = None) -> list[str]:
        """UIDs of the DICOM objects here of a study, a series, or all."""
        conditions, values = ["kind = 'dicom'"], []
        for column, value in (("study_uid", study_uid), ("series_uid", series_uid), ("uid", uid)):
            if value is not None:
                conditions.append(f"{column} = ?")
                values.append(value)
        query = f"SELECT uid FROM objects WHERE {' AND '.join(conditions)} ORDER BY rowid"
        return [row[0] for row in self._rows(query, *values)]

    def attributes(self, uid: str) -> str | None:
        """The attributes of one object; None once it has expired."""
        rows = self._rows("SELECT attributes FROM objects WHERE uid = ?", uid)
        return rows[0][0] if rows else None

    def content(self, uid: str) -> bytes | None:
        """One object; None once it has expired."""
        rows = self._rows("SELECT content FROM objects WHERE uid = ?", uid)
        return rows[0][0] if rows else None

    def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        # In WAL mode our own writers keep no reader waiting.
        with self._renewing(), closing(self._connect(FOREIGN_TIMEOUT_S)) as connection:
            return connection.execute(query, values).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._renewing(), closing(self._connect()) as connection, connection:
            yield connection

    @contextmanager
    def _renewing(self) -> Iterator[None]:
        """Set a database aside in which the block finds damage; its error is raised all the same."""
        seen = self._inode
        try:
            yield
        except sqlite3.DatabaseError as error:
            code = result_code(error)
            if code in DAMAGED or (code is None and type(error) is sqlite3.OperationalError):  # a text that is none
                self._open_or_begin(error, seen)
            if code == sqlite3.SQLITE_ERROR:  # a table is missing
                self._inode = None  # the next use looks at all of them
            raise

    def _connect(self, timeout_s: float = BUSY_TIMEOUT_S) -> sqlite3.Connection:
        # Somebody may have set it aside or deleted it meanwhile.
        if self._inode is None or self._inode != _inode(self._path):
            self._open_or_begin(None)
        return self._connected(timeout_s)

    def _connected(self, timeout_s: float) -> sqlite3.Connection:
        # One for each use: no connection is shared among threads, and it costs a fraction of a millisecond.
        connection = sqlite3.connect(self._path, timeout=timeout_s)
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")  # a series leaves the spool once its results are on the disk
        connection.execute("PRAGMA secure_delete = ON")
        return connection

    def _open_or_begin(self, damage: sqlite3.Error | None, seen: int | None = None) -> None:
        """Make sure that there is a database of ours; with `damage` that in the file `seen`. One process at a time."""
        with held(self._path.with_suffix(".lock")):
            if damage is not None and _inode(self._path) == seen:
                self._set_aside(str(damage), self._files())
            if odd := [path for path in self._files() if _is_no_file(path)]:
                self._set_aside("it is no file", odd)
            try:
                self._begin()
            except sqlite3.DatabaseError as error:
                if result_code(error) not in DAMAGED and not isinstance(error, _OtherSchema):
                    raise
                self._set_aside(str(error), self._files())
                self._begin()
            self._inode = _inode(self._path)

    def _begin(self) -> None:
        """Open the database and write its tables where there are none; raises _OtherSchema for other ones."""
        _make_private(self._files())
        with closing(self._connected(FOREIGN_TIMEOUT_S)) as connection:
            found = set(connection.execute(COLUMNS))
            if found and not _columns_of_ours() <= found:
                raise _OtherSchema("it has other tables")
            if not found:
                # Kept in the file, like the next; a deleted object must not remain readable in it.
                connection.execute("PRAGMA auto_vacuum = FULL")
            connection.execute("PRAGMA journal_mode = WAL")
            if not found:
                connection.executescript(SCHEMA)

    def _set_aside(self, why: str, files: Sequence[Path]) -> None:
        """Give files of the database other names, so that a new one can be begun."""
        mark = f"{DAMAGED_MARK}{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:8]}"
        for path in files:
            if os.path.lexists(path):
                path.rename(path.with_name(path.name + mark))
        logger.error(
            "%s cannot be used: %s; it is set aside as %s%s, with what was not delivered yet, and a new one is begun",
            files[0],
            why,
            files[0].name,
            mark,
        )

    def _files(self) -> list[Path]:
        return [self._path.with_name(self._path.name + ending) for ending in BESIDE]


@cache
def _columns_of_ours() -> frozenset[tuple[Any, ...]]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(SCHEMA)
        return frozenset(connection.execute(COLUMNS))


def _inode(path: Path) -> int | None:
    """Which file a database is in; None where there is none yet. A number may be taken again by what comes after."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino if stat.S_ISREG(found.st_mode) and found.st_size else None


def _is_no_file(path: Path) -> bool:
    return os.path.lexists(path) and not path.is_file()


def _make_private(files: Sequence[Path]) -> None:
    """Let only the owner read and write the files that are there, and make the first of them if it is not."""
    for path in files:
        with suppress(FileNotFoundError):
            path.chmod(PRIVATE_FILE)
    os.close(os.open(files[0], os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, PRIVATE_FILE))


def _columns(item: ResultObject) -> tuple[object, ...]:
    return (item.uid, item.kind, item.study_uid, item.series_uid, item.attributes, item.content)
