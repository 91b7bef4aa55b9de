"""Finished result objects until they expire, and those that still have to be delivered: one SQLite database."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from app.reports.result import ObjectKind, ResultObject

BUSY_TIMEOUT_S: Final = 30.0  # another process writes some megabytes meanwhile
SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS objects (
    uid TEXT PRIMARY KEY, kind TEXT NOT NULL, study_uid TEXT NOT NULL, series_uid TEXT NOT NULL,
    attributes TEXT NOT NULL, content BLOB NOT NULL, expires_at REAL NOT NULL);
CREATE INDEX IF NOT EXISTS objects_by_study ON objects (study_uid, series_uid);
CREATE TABLE IF NOT EXISTS deliveries (
    destination TEXT NOT NULL, uid TEXT NOT NULL REFERENCES objects ON DELETE CASCADE,
    attempts INTEGER NOT NULL DEFAULT 0, due_at REAL NOT NULL, PRIMARY KEY (destination, uid));
CREATE TABLE IF NOT EXISTS judged (claim TEXT PRIMARY KEY, expires_at REAL NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class Due:
    """What is to be delivered now, and how often that was tried."""

    uid: str
    content: bytes
    attempts: int


class ResultStore:
    """The database, shared by all workers. Its folder must be private: it holds patient data."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._transaction() as connection:
            # Both are kept in the file; a deleted object must not remain readable in it.
            connection.execute("PRAGMA auto_vacuum = FULL")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(SCHEMA)
        path.chmod(0o600)

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
        with closing(self._connect()) as connection:
            return connection.execute(query, values).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with closing(self._connect()) as connection, connection:
            yield connection

    def _connect(self) -> sqlite3.Connection:
        # One for each use: no connection is shared among threads, and it costs a fraction of a millisecond.
        connection = sqlite3.connect(self._path, timeout=BUSY_TIMEOUT_S)
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")  # a series leaves the spool once its results are on the disk
        connection.execute("PRAGMA secure_delete = ON")
        return connection


def _columns(item: ResultObject) -> tuple[object, ...]:
    return (item.uid, item.kind, item.study_uid, item.series_uid, item.attributes, item.content)
