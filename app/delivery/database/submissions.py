"""Series that a client sends to be judged, and asks about by the id of its job."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from app.delivery.database.database import Transaction
from app.delivery.database.series_states import DROPPED, SeriesStates, SeriesStatus, State, one_of

CANCELLED: Final = "cancelled"
JobState: TypeAlias = Literal["received", "cancelled"] | State
# Of several series of a job, the first of these that one of them has: what is still to be done, then what went wrong.
ORDER: Final[tuple[State, ...]] = (
    *("waiting", "judging", "failed", "judged", "delivering", "delivered"),
    *("unfit", "left_out"),
)


@dataclass(frozen=True, slots=True)
class Submission:
    """A job as it was sent: `request_id` is that of the request; `series` are the names of its series in the spool.

    `state` says that it was `sent`, and its series are in the spool or were, or what became of it otherwise, with the
    `code` of the reason.
    """

    id: str
    request_id: str
    state: Literal["sent", "received", "cancelled", "failed"]
    code: str
    created_at: float
    series: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class JobStatus:
    """Where a job and each of its series stand; `created_at` is `time.time()` of its request."""

    submission: Submission
    series: Sequence[SeriesStatus]

    @property
    def standing(self) -> tuple[JobState, str]:
        """State and code of the job: those of its series that is least far, or of the one that failed."""
        if self.submission.state != "sent":
            return self.submission.state, self.submission.code
        least = min(self.series, key=lambda each: ORDER.index(each.state), default=None)
        return ("failed", DROPPED) if least is None else (least.state, least.code)


class Submissions(SeriesStates):
    """The jobs in the database of results. They are remembered as long as one of their series."""

    def submit(self, submission: Submission, *, expires_at: float) -> None:
        """Note a job; call it before its series are there to be judged."""
        with self._transaction() as connection:
            self._submit(connection, submission, expires_at)

    def submission(self, job: str) -> Submission | None:
        """The job with this id."""
        rows = self._rows("SELECT request_id, state, code, created_at FROM submissions WHERE id = ?", job)
        if not rows:
            return None
        named = self._rows("SELECT name FROM submitted_series WHERE submission = ? ORDER BY rowid", job)
        ((request_id, state, code, created_at),) = rows
        return Submission(job, request_id, state, code, created_at, tuple(name for (name,) in named))

    def is_asked_for(self, name: str) -> bool:
        """Whether a job asks for the answer about a series, by its name in the spool."""
        return bool(self._rows("SELECT 1 FROM submitted_series WHERE name = ? LIMIT 1", name))

    def answers_about(self, name: str) -> bytes | None:
        """The answers that stand about a series, as `app.judgement.answers_kept` writes them."""
        for (objects,) in self._rows("SELECT objects FROM series WHERE name = ?", name):
            uids = json.loads(objects)
            query = f"SELECT content FROM objects WHERE kind = 'answer' AND uid IN ({one_of(uids)})"
            if found := self._rows(query, *uids):
                return bytes(found[0][0])
        return None

    def withdrawn(self, submission: Submission) -> None:
        """Note that a job was cancelled, and its series with it. What was judged of them before stands."""
        with self._transaction() as connection:
            connection.execute("UPDATE submissions SET state = ? WHERE id = ?", (CANCELLED, submission.id))
            connection.executemany(
                "UPDATE series SET code = ? WHERE name = ? AND state = 'received'",
                [(CANCELLED, name) for name in submission.series],
            )

    def _submit(self, connection: Transaction, submission: Submission, expires_at: float) -> None:
        connection.execute(
            "INSERT INTO submissions VALUES (?, ?, ?, ?, ?, ?)",
            (
                *(submission.id, submission.request_id, submission.state, submission.code),
                *(submission.created_at, expires_at),
            ),
        )
        self._name_series(connection, submission.id, submission.series)

    @staticmethod
    def _name_series(connection: Transaction, job: str, names: Sequence[str]) -> None:
        connection.executemany(
            "INSERT INTO submitted_series (submission, name) VALUES (?, ?) ON CONFLICT DO NOTHING",
            [(job, name) for name in names],
        )

    @staticmethod
    def _expire_submissions(connection: Transaction, now: float) -> None:
        connection.execute(
            "DELETE FROM submissions WHERE expires_at <= ? AND id NOT IN"
            " (SELECT submission FROM submitted_series JOIN series USING (name))",
            (now,),
        )
