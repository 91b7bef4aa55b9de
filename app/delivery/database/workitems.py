"""Workitems (PS3.18 11) in the database of results: what a workflow manager wants done, and what became of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from app.delivery.attributes import Attributes
from app.delivery.database.database import Transaction
from app.delivery.database.pulls import Pull, Pulls
from app.delivery.database.series_states import KNOWN_S
from app.delivery.database.submissions import Submission

StepState: TypeAlias = Literal["SCHEDULED", "IN PROGRESS", "COMPLETED", "CANCELED"]
SCHEDULED: Final = "SCHEDULED"
IN_PROGRESS: Final = "IN PROGRESS"
COMPLETED: Final = "COMPLETED"
CANCELED: Final = "CANCELED"
ENDED: Final = (COMPLETED, CANCELED)
GONE: Final = "GONE"  # of which nothing is kept but that it was there
OF_OTHERS: Final = -1  # the turn of what this service does not begin
PAGE: Final = 32  # workitems that are read at once: the longest are a megabyte each
COLUMNS: Final = "uid, state, turn, transaction_uid, job, attributes, revision, created_at"


@dataclass(frozen=True, slots=True)
class Workitem:
    """A workitem: its attributes without state and UIDs, and what is not shown of it.

    The lowest `turn` is begun first, OF_OTHERS never. `transaction_uid` is that of its owner, empty before it is
    claimed; `job` is the job of this service for it, empty where another has claimed it. A `revision` is written over
    once.
    """

    uid: str
    state: StepState | Literal["GONE"]
    turn: int
    attributes: Attributes
    transaction_uid: str = ""
    job: str = ""
    revision: int = 0
    created_at: float = 0.0


class Workitems(Pulls):
    """The workitems in the database of results."""

    def add_workitem(self, item: Workitem, *, expires_at: float) -> bool:
        """Keep a new workitem; whether its UID is new."""
        with self._transaction() as connection:
            added = connection.execute(
                "INSERT INTO workitems (uid, state, turn, transaction_uid, job, attributes, revision, created_at,"
                " expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (uid) DO NOTHING",
                (item.uid, *_changing(item), item.revision, item.created_at, expires_at),
            ).rowcount
        return bool(added)

    def workitem(self, uid: str) -> Workitem | None:
        """The workitem with this UID; GONE when it has expired, for a time."""
        return next(self._workitems("WHERE uid = ?", uid), None)

    def replace_workitem(self, item: Workitem, *, expires_at: float) -> bool:
        """Write a workitem in place of its revision; whether nobody else has done so since that was read."""
        with self._transaction() as connection:
            return self._replace(connection, item, expires_at)

    def claim_workitem(self, item: Workitem, submission: Submission, pull: Pull, *, expires_at: float) -> bool:
        """Write a workitem that this service has claimed, and the job for it; whether nobody else was faster."""
        with self._transaction() as connection:
            claimed = self._replace(connection, item, expires_at)
            if claimed:
                self._ask(connection, submission, pull, expires_at)
        return claimed

    def next_workitem(self) -> Workitem | None:
        """The workitem that this service is to begin next."""
        which = f"WHERE state = ? AND turn > {OF_OTHERS} ORDER BY turn, created_at, uid LIMIT 1"
        return next(self._workitems(which, SCHEDULED), None)

    def workitems_at_work(self) -> list[Workitem]:
        """The workitems at which this service works."""
        return list(self._workitems("WHERE state = ? AND job <> '' ORDER BY created_at, uid", IN_PROGRESS))

    def workitems_open(self) -> int:
        """The number of workitems that have not ended."""
        return self._number_of(SCHEDULED, IN_PROGRESS)

    def workitems_ended(self) -> int:
        """The number of workitems that have ended and are kept."""
        return self._number_of(*ENDED)

    def all_workitems(self, state: str = "") -> Iterator[Workitem]:
        """All workitems, or those in a state, in the order in which they came."""
        which = "state = ?" if state else "state <> ?"
        last: tuple[float, str] = (0.0, "")
        query = f"WHERE {which} AND (created_at, uid) > (?, ?) ORDER BY created_at, uid LIMIT {PAGE}"
        while page := list(self._workitems(query, state or GONE, *last)):
            yield from page
            last = (page[-1].created_at, page[-1].uid)

    def results_of(self, name: str) -> list[Attributes]:
        """The attributes of the DICOM objects about a series, by its name in the spool."""
        named = self._rows("SELECT objects FROM series WHERE name = ?", name)
        uids = json.loads(named[0][0]) if named else []
        query = "SELECT attributes FROM objects WHERE uid = ? AND kind = 'dicom'"
        return [json.loads(text) for uid in uids for (text,) in self._rows(query, uid)]

    def _number_of(self, *states: str) -> int:
        ((count,),) = self._rows("SELECT count(*) FROM workitems WHERE state IN (?, ?)", *states)
        return int(count)

    def _workitems(self, which: str, *values: object) -> Iterator[Workitem]:
        return (_workitem(*row) for row in self._rows(f"SELECT {COLUMNS} FROM workitems {which}", *values))

    @staticmethod
    def _replace(connection: Transaction, item: Workitem, expires_at: float) -> bool:
        changed = connection.execute(
            "UPDATE workitems SET state = ?, turn = ?, transaction_uid = ?, job = ?, attributes = ?,"
            " revision = revision + 1, expires_at = ? WHERE uid = ? AND revision = ? AND state <> ?",
            (*_changing(item), expires_at, item.uid, item.revision, GONE),
        ).rowcount
        return bool(changed)

    @staticmethod
    def _expire_workitems(connection: Transaction, now: float) -> None:
        """Delete all of what is too old but the UID, and later that."""
        connection.execute("DELETE FROM workitems WHERE expires_at <= ? AND state = ?", (now, GONE))
        connection.execute(
            "UPDATE workitems SET state = ?, attributes = '{}', transaction_uid = '', job = '',"
            " revision = revision + 1, expires_at = ? WHERE expires_at <= ?",
            (GONE, now + KNOWN_S, now),
        )


def _changing(item: Workitem) -> tuple[object, ...]:
    text = json.dumps(item.attributes, ensure_ascii=False, separators=(",", ":"))
    return (item.state, item.turn, item.transaction_uid, item.job, text)


def _workitem(
    uid: str,
    state: Any,
    turn: int,
    transaction_uid: str,
    job: str,
    attributes: str,
    revision: int,
    created_at: float,
) -> Workitem:
    return Workitem(uid, state, turn, json.loads(attributes), transaction_uid, job, revision, created_at)
