"""A database in a file that all workers share: opened, begun, and set aside when it is damaged or another program's."""

from __future__ import annotations

import logging
import os
import sqlite3
import stat
import uuid
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

from app.delivery.database.storage import result_code
from app.delivery.database.tables import Schema
from app.delivery.spool.quarantine import delete
from app.errors import SettingsError
from app.locks import held
from app.private_files import PRIVATE_FILE

BUSY_TIMEOUT_S: Final = 30.0  # another process writes some megabytes meanwhile
FOREIGN_TIMEOUT_S: Final = 5.0  # whoever is not of this service may hold it for good
# Result codes of SQLite (sqlite.org/rescode.html): what passes by itself, and what does not.
PASSING: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR})
DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
BESIDE: Final = ("", "-wal", "-shm", "-journal")  # files of one database, by the ends of their names
DAMAGED_MARK: Final = ".damaged-"
COLUMNS: Final = """
SELECT tables.name, columns.name, columns.type, columns.pk
FROM sqlite_schema AS tables JOIN pragma_table_info(tables.name) AS columns
WHERE tables.type = 'table' AND tables.name NOT LIKE 'sqlite_%'
"""
logger = logging.getLogger(__name__)


class _OtherSchema(sqlite3.DatabaseError):
    """The database has tables of another program."""


class SqliteFile:
    """A database in one file. Its folder must be private, because it holds patient data.

    A damaged or foreign database is renamed, with the time in its name, and a new one begun, at the start and whenever
    the damage shows; the log says where.
    """

    size = "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"

    def __init__(self, path: Path, schema: Schema) -> None:
        self._path = path
        self._schema = schema
        self._inode: int | None = None

    def open(self) -> None:
        """Open the database, or begin one. Raises SettingsError for a lasting fault, and otherwise OSError or
        sqlite3.Error: each use tries again."""
        try:
            self._open_or_begin(None)
        except (OSError, sqlite3.Error) as error:
            if result_code(error) in PASSING:
                raise
            raise SettingsError(
                found=f"{self._path}, which cannot be used: {error}",
                expected=f"a database of {self._schema.of.name} that this user may read and write, or none yet",
                remedy="Correct its owner and mode, or move it away.",
            ) from None

    def probe(self) -> None:
        """Raise the error that a write would raise."""
        with closing(self._connect(FOREIGN_TIMEOUT_S)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.rollback()

    def forget_damaged(self, before: float) -> None:
        """Delete damaged databases that were renamed before the given time."""
        for path in self._path.parent.glob(f"{self._path.name}*{DAMAGED_MARK}*"):
            with suppress(FileNotFoundError):
                if path.lstat().st_ctime < before:
                    delete(path)

    def rows(self, query: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        """What a query finds."""
        # In WAL mode our own writers keep no reader waiting.
        with self._renewing(), closing(self._connect(FOREIGN_TIMEOUT_S)) as connection:
            return connection.execute(query, values).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A transaction, the only one at work; an error in the block undoes it."""
        with self._renewing(), closing(self._connect()) as connection, connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection

    def turn(self, _name: str) -> AbstractContextManager[bool]:
        """Nobody else's turn: whoever shares the file shares the locks on files beside it."""
        return nullcontext(True)

    @contextmanager
    def _renewing(self) -> Iterator[None]:
        """Rename the database if the block finds it damaged, and begin a new one; the block's error is raised all the
        same."""
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
        """Open the database or begin one; `damage` was found in the file `seen`. Only one process at a time does
        this."""
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
        """Open the database and write its tables if there are none; raises _OtherSchema for a foreign one."""
        _make_private(self._files())
        with closing(self._connected(FOREIGN_TIMEOUT_S)) as connection:
            found = set(connection.execute(COLUMNS))
            if found and not _columns_of(self._schema.first) <= found:
                raise _OtherSchema("it has other tables")
            if not found:
                # Kept in the file, like the next; a deleted object must not remain readable in it.
                connection.execute("PRAGMA auto_vacuum = FULL")
            connection.execute("PRAGMA journal_mode = WAL")
            if not found:
                connection.executescript(f"BEGIN; {self._schema.first} COMMIT;")
            connection.executescript(f"BEGIN; {self._schema.later} COMMIT;")

    def _set_aside(self, why: str, files: Sequence[Path]) -> None:
        """Rename the files of the database, so that a new one can be begun."""
        mark = f"{DAMAGED_MARK}{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:8]}"
        for path in files:
            if os.path.lexists(path):
                path.rename(path.with_name(path.name + mark))
        logger.error(
            "%s cannot be used: %s; it is set aside as %s%s, with %s, and a new one is begun",
            files[0],
            why,
            files[0].name,
            mark,
            self._schema.of.lost,
        )

    def _files(self) -> list[Path]:
        return [self._path.with_name(self._path.name + ending) for ending in BESIDE]


@cache
def _columns_of(tables: str) -> frozenset[tuple[Any, ...]]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(tables)
        return frozenset(connection.execute(COLUMNS))


def _inode(path: Path) -> int | None:
    """The number of the database's file; None if there is none yet. A later file may have the same number."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino if stat.S_ISREG(found.st_mode) and found.st_size else None


def _is_no_file(path: Path) -> bool:
    return os.path.lexists(path) and not path.is_file()


def _make_private(files: Sequence[Path]) -> None:
    """Let only the owner read and write the database's files, and make the first of them if it is missing."""
    for path in files:
        with suppress(FileNotFoundError):
            path.chmod(PRIVATE_FILE)
    os.close(os.open(files[0], os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, PRIVATE_FILE))
