"""A database that all workers share: in a file of the service's folder, or on a PostgreSQL server."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from app.delivery.database.sqlite import SqliteFile
from app.delivery.database.storage import StorageWatch
from app.delivery.database.tables import RESULT_TABLES, Schema
from app.errors import SettingsError


class Found(Protocol):
    """What a statement has found, or changed."""

    @property
    def rowcount(self) -> int:
        """The number of lines that it changed."""
        ...

    def fetchone(self) -> Any:
        """The next line; None where there is none."""
        ...

    def fetchall(self) -> list[Any]:
        """All lines that are left."""
        ...


class Transaction(Protocol):
    """Takes statements with `?` for each value; all of them happen or none."""

    def execute(self, query: str, values: Sequence[Any] = ..., /) -> Found:
        """Do one statement."""
        ...

    def executemany(self, query: str, values: Iterable[Sequence[Any]], /) -> Any:
        """Do a statement with each of these."""
        ...


class Engine(Protocol):
    """What keeps a database. Each use raises OSError or sqlite3.Error where it cannot be reached, read or written."""

    @property
    def size(self) -> str:
        """The query for the bytes that it takes."""
        ...

    def open(self) -> None:
        """Open or begin it. Raises SettingsError for a lasting fault; after another one each use tries again."""
        ...

    def probe(self) -> None:
        """Raise the error that a write would raise."""
        ...

    def rows(self, query: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        """What a query finds."""
        ...

    def transaction(self) -> AbstractContextManager[Transaction]:
        """A transaction, the only one at work; an error in the block undoes it."""
        ...

    def turn(self, name: str) -> AbstractContextManager[bool]:
        """Whether nobody else who uses the database has the turn of this name, which then is ours within the block."""
        ...

    def forget_damaged(self, before: float) -> None:
        """Delete what was set aside before the given time."""
        ...


class Database:
    """A database in a file, or with `url` on a PostgreSQL server; `watch` knows whether it can be written.

    The file's folder is used in both cases: the watch looks at its disk, and locks lie in it.
    """

    schema: Schema = RESULT_TABLES

    def __init__(self, path: Path, url: str | None = None) -> None:
        """Open the database. Raises SettingsError for a lasting fault; after one that may pass, each use tries
        again."""
        self._engine = SqliteFile(path, self.schema) if url is None else _on_server(url, self.schema)
        of = self.schema.of
        if url is not None:
            of = replace(of, place="disk or a PostgreSQL server", setting=f"{of.setting} and LUNGSCOPE_DATABASE_URL")
        self.watch = StorageWatch(path.parent, self._engine.probe, of=of)
        try:
            self._engine.open()
        except (OSError, sqlite3.Error) as error:
            self.watch.failed(error)

    def probe(self) -> None:
        """Raise the error that a write would raise."""
        self._engine.probe()

    def turn(self, name: str) -> AbstractContextManager[bool]:
        """Whether no other process has the turn of this name, which then is ours within the block. Where a file is the
        database it always is: hold a lock on a file as well."""
        return self._engine.turn(name)

    def forget_damaged(self, before: float) -> None:
        """Delete damaged databases that were renamed before the given time."""
        self._engine.forget_damaged(before)

    def size(self) -> int:
        """The bytes of the database; on a server those of the results in it."""
        ((size,),) = self._rows(self._engine.size)
        return int(size)

    def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        return self._engine.rows(query, values)

    def _transaction(self) -> AbstractContextManager[Transaction]:
        return self._engine.transaction()


def _on_server(url: str, schema: Schema) -> Engine:
    try:
        # Its driver takes time and memory of whoever has no server.
        from app.delivery.database.postgresql import PostgresSchema
    except ImportError as error:
        raise SettingsError(
            found=f"LUNGSCOPE_DATABASE_URL, and no driver for PostgreSQL: {error}",
            expected="psycopg",
            remedy="Install it: pip install 'lungscope[postgresql]'.",
        ) from None
    return PostgresSchema(url, schema)
