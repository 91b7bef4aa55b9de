"""The tables of results, of what became of each series, and of jobs: for whatever database keeps them.

SQL here, and in what asks of these tables, is what SQLite and PostgreSQL both understand. Lines come in the order of
`rowid`, which SQLite has by itself. `app.delivery.database.postgresql` says what it writes otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from app.delivery.database.storage import SPOOL_AND_RESULTS, Stored

# The tables of a database of ours since the first version: without them it is another program's.
FIRST_TABLES: Final = """
CREATE TABLE IF NOT EXISTS objects (
    uid TEXT PRIMARY KEY, kind TEXT NOT NULL, study_uid TEXT NOT NULL, series_uid TEXT NOT NULL,
    attributes TEXT NOT NULL, content BLOB NOT NULL, expires_at REAL NOT NULL);
CREATE INDEX IF NOT EXISTS objects_by_study ON objects (study_uid, series_uid);
CREATE TABLE IF NOT EXISTS deliveries (
    destination TEXT NOT NULL, uid TEXT NOT NULL REFERENCES objects ON DELETE CASCADE,
    attempts INTEGER NOT NULL DEFAULT 0, due_at REAL NOT NULL, PRIMARY KEY (destination, uid));
CREATE TABLE IF NOT EXISTS judged (claim TEXT PRIMARY KEY, expires_at REAL NOT NULL);
"""
# Added since, and to a database from before: what became of each series (`series_states.py`), of objects
# that need no longer be delivered, jobs (`submissions.py`) and workitems; `cases` has keyed hashes alone,
# `clock` what the clock of each machine said at last, by the id of its start (`clock_steps.py`).
LATER_TABLES: Final = """
CREATE TABLE IF NOT EXISTS series (
    name TEXT PRIMARY KEY, study_uid TEXT NOT NULL, series_uid TEXT NOT NULL, state TEXT NOT NULL, code TEXT NOT NULL,
    objects TEXT NOT NULL, owed INTEGER NOT NULL, unwritten TEXT NOT NULL, changed_at REAL NOT NULL,
    expires_at REAL NOT NULL);
CREATE INDEX IF NOT EXISTS series_by_study ON series (study_uid);
CREATE TABLE IF NOT EXISTS known_series (
    name TEXT PRIMARY KEY, instances TEXT NOT NULL, report TEXT NOT NULL, expires_at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS delivered (uid TEXT PRIMARY KEY REFERENCES objects ON DELETE CASCADE);
CREATE TABLE IF NOT EXISTS refused (
    destination TEXT NOT NULL, uid TEXT NOT NULL REFERENCES objects ON DELETE CASCADE, PRIMARY KEY (destination, uid));
CREATE TABLE IF NOT EXISTS refusals (
    destination TEXT NOT NULL, uid TEXT NOT NULL REFERENCES objects ON DELETE CASCADE, code TEXT NOT NULL,
    PRIMARY KEY (destination, uid));
CREATE TABLE IF NOT EXISTS cases (
    name TEXT PRIMARY KEY, study TEXT NOT NULL, accession TEXT NOT NULL, expires_at REAL NOT NULL);
CREATE INDEX IF NOT EXISTS cases_by_study ON cases (study);
CREATE INDEX IF NOT EXISTS cases_by_accession ON cases (accession);
CREATE TABLE IF NOT EXISTS submissions (
    id TEXT PRIMARY KEY, request_id TEXT NOT NULL, state TEXT NOT NULL, code TEXT NOT NULL, created_at REAL NOT NULL,
    expires_at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS submitted_series (
    submission TEXT NOT NULL REFERENCES submissions ON DELETE CASCADE, name TEXT NOT NULL,
    PRIMARY KEY (submission, name));
CREATE TABLE IF NOT EXISTS pulls (
    submission TEXT PRIMARY KEY REFERENCES submissions ON DELETE CASCADE, study_uid TEXT NOT NULL,
    series_uids TEXT NOT NULL, attempts INTEGER NOT NULL, due_at REAL NOT NULL);
CREATE INDEX IF NOT EXISTS submissions_by_series ON submitted_series (name);
CREATE TABLE IF NOT EXISTS workitems (
    uid TEXT PRIMARY KEY, state TEXT NOT NULL, turn INTEGER NOT NULL, transaction_uid TEXT NOT NULL, job TEXT NOT NULL,
    attributes TEXT NOT NULL, revision INTEGER NOT NULL, created_at REAL NOT NULL, expires_at REAL NOT NULL);
CREATE INDEX IF NOT EXISTS workitems_by_state ON workitems (state, turn, created_at);
CREATE INDEX IF NOT EXISTS workitems_by_age ON workitems (created_at, uid);
CREATE TABLE IF NOT EXISTS clock (boot TEXT NOT NULL, ahead_s REAL NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class Schema:
    """The tables of a database: those of its `first` version, by which it is told from another program's, and `later`
    ones, which may be added to a database from before. `of` names what it holds, for logs and errors, `name` the tables
    on a server."""

    first: str
    later: str
    of: Stored
    name: str


RESULT_TABLES: Final = Schema(FIRST_TABLES, LATER_TABLES, SPOOL_AND_RESULTS, "results")
