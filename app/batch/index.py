"""The index of an archive: its series, their files, and what was said of those that no table holds yet.

One SQLite database, which a run that is killed leaves whole. It names files and series as they are: its folder is
private.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from app.batch.archive import Sighting
from app.private_files import private_opener

# `code` is that of the failure, empty for what was judged, null before. `outcome` waits to be written into a table.
# `ends` counts the workers that ended while they judged the series.
TABLES: Final = """
CREATE TABLE IF NOT EXISTS series (
    number INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL, uid TEXT, ends INTEGER NOT NULL DEFAULT 0,
    code TEXT, outcome TEXT);
CREATE INDEX IF NOT EXISTS series_open ON series (number) WHERE code IS NULL;
CREATE INDEX IF NOT EXISTS series_unwritten ON series (number) WHERE outcome IS NOT NULL;
CREATE TABLE IF NOT EXISTS file (
    series INTEGER NOT NULL, path BLOB NOT NULL, PRIMARY KEY (series, path)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS source (path BLOB PRIMARY KEY, left_out INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS fact (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
COMMIT_EVERY: Final = 1000  # files; what was not committed is looked at again
COMPLETE: Final = 1
PAGE: Final = 256  # series that are read from the database at once

Outcome = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Series:
    """One series: its place among all, the UID that its headers state, and its files in the order of their paths."""

    number: int
    uid: str | None
    paths: tuple[Path, ...]

    @property
    def place(self) -> Path:
        """The one file, or the folder that holds all."""
        if len(self.paths) == 1:
            return self.paths[0]
        return Path(os.path.commonpath([path.parent for path in self.paths]))


class Index:
    """The index in one file, of one process. Series have numbers from 1, in the order in which they were first seen."""

    def __init__(self, path: Path) -> None:
        """Open or begin it; raises OSError and sqlite3.Error."""
        with open(path, "ab", opener=private_opener):  # SQLite gives its other files the same mode
            pass
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.executescript(f"PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; {TABLES}")
        self._uncommitted = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._database.close()

    def facts(self, now: dict[str, str]) -> dict[str, str]:
        """What was noted when the index was begun; `now` where that is this moment."""
        self._database.executemany("INSERT OR IGNORE INTO fact VALUES (?, ?)", now.items())
        return dict(self._database.execute("SELECT name, value FROM fact"))

    @property
    def is_complete(self) -> bool:
        """Whether all sources were walked: from then on no series and no file joins."""
        return self._one("PRAGMA user_version") == COMPLETE

    def complete(self) -> None:
        """Note that all sources were walked."""
        self._database.execute(f"PRAGMA user_version = {COMPLETE}")

    def is_walked(self, source: Path) -> bool:
        """Whether all of a source is in the index."""
        return self._one("SELECT count(*) FROM source WHERE path = ?", os.fsencode(source)) > 0

    def walked(self, source: Path, left_out: int) -> None:
        """Note that all of a source is in the index, but for so many files that do not count."""
        self._database.execute("INSERT OR REPLACE INTO source VALUES (?, ?)", (os.fsencode(source), left_out))
        self._commit()

    def add(self, seen: Sighting) -> int:
        """Take up a file, unless it is there already; returns the number of its series."""
        if not self._uncommitted:
            self._database.execute("BEGIN")
        path = os.fsencode(seen.path)
        name = f"file {path.hex()}" if seen.series is None else f"series {seen.series}"
        self._database.execute("INSERT OR IGNORE INTO series (name, uid) VALUES (?, ?)", (name, seen.series))
        number = self._one("SELECT number FROM series WHERE name = ?", name)
        self._database.execute("INSERT OR IGNORE INTO file VALUES (?, ?)", (number, path))
        self._uncommitted += 1
        if self._uncommitted >= COMMIT_EVERY:
            self._commit()
        return number

    def open_series(self, max_files: int) -> Iterator[Series]:
        """Those of which nothing is known yet, by number; of each at most so many files and one more."""
        last = 0
        while page := self._rows(
            "SELECT number, uid FROM series WHERE code IS NULL AND number > ? ORDER BY number LIMIT ?", last, PAGE
        ):
            for number, uid in page:
                yield Series(number, uid, self._paths(number, max_files + 1))
            last = page[-1][0]

    def ended(self, series: Series) -> int:
        """Note that a worker ended while it judged a series; returns how many have."""
        self._database.execute("UPDATE series SET ends = ends + 1 WHERE number = ?", (series.number,))
        return self._one("SELECT ends FROM series WHERE number = ?", series.number)

    def finished(self, number: int, code: str, outcome: Outcome) -> None:
        """Note what was said of a series, or the code of its failure."""
        finish = "UPDATE series SET code = ?, outcome = ? WHERE number = ?"
        self._database.execute(finish, (code, json.dumps(outcome), number))

    def is_whole(self, numbers: range) -> bool:
        """Whether all series of these numbers are finished."""
        low, high = numbers.start, numbers.stop - 1
        open_ones = "SELECT count(*) FROM series WHERE code IS NULL AND number BETWEEN ? AND ?"
        return self._one(open_ones, low, high) == 0

    def unwritten(self) -> Iterator[int]:
        """Numbers of the series whose outcomes wait to be written, ascending."""
        last = 0
        unwritten = "SELECT number FROM series WHERE outcome IS NOT NULL AND number > ? ORDER BY number LIMIT ?"
        while page := self._rows(unwritten, last, PAGE):
            yield from (number for (number,) in page)
            last = page[-1][0]

    def outcomes(self, numbers: range) -> list[Outcome]:
        """What was said of these series, by number."""
        rows = self._rows(
            "SELECT outcome FROM series WHERE number BETWEEN ? AND ? ORDER BY number", numbers.start, numbers.stop - 1
        )
        return [json.loads(outcome) for (outcome,) in rows]

    def written(self, numbers: range) -> None:
        """Forget what was said of series that the tables hold."""
        forget = "UPDATE series SET outcome = NULL WHERE number BETWEEN ? AND ?"
        self._database.execute(forget, (numbers.start, numbers.stop - 1))

    def counts(self) -> dict[str | None, int]:
        """Series by code: empty for judged, None for those of which nothing is known yet."""
        return dict(self._rows("SELECT code, count(*) FROM series GROUP BY code"))

    @property
    def left_out(self) -> int:
        """Files that do not count."""
        return self._one("SELECT coalesce(sum(left_out), 0) FROM source")

    def _paths(self, number: int, most: int) -> tuple[Path, ...]:
        rows = self._rows("SELECT path FROM file WHERE series = ? ORDER BY path LIMIT ?", number, most)
        return tuple(Path(os.fsdecode(path)) for (path,) in rows)

    def _commit(self) -> None:
        if self._uncommitted:
            self._database.execute("COMMIT")
        self._uncommitted = 0

    def _rows(self, query: str, *values: object) -> Sequence[Any]:
        return self._database.execute(query, values).fetchall()

    def _one(self, query: str, *values: object) -> int:
        (number,) = self._database.execute(query, values).fetchone()
        return int(number)
