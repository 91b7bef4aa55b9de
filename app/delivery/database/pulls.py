"""Jobs whose series are still to be fetched from an archive, in the database of results."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from app.delivery.database.database import Transaction
from app.delivery.database.submissions import CANCELLED, Submission, Submissions


@dataclass(frozen=True, slots=True)
class Pull:
    """What a job has fetched: a study, or some of its series; `attempts` counts those that failed so far, `code` says
    why the last did, and the next is due at `due_at`."""

    job: str
    study_uid: str
    series_uids: tuple[str, ...] = ()
    attempts: int = 0
    code: str = ""
    due_at: float = 0.0


class Pulls(Submissions):
    """The pulls in the database of results. Whoever fetches one holds a lock: it is one at a time."""

    def ask(self, submission: Submission, pull: Pull, *, expires_at: float) -> None:
        """Note a job that waits for its series to be fetched."""
        with self._transaction() as connection:
            self._ask(connection, submission, pull, expires_at)

    def _ask(self, connection: Transaction, submission: Submission, pull: Pull, expires_at: float) -> None:
        self._submit(connection, submission, expires_at)
        connection.execute(
            "INSERT INTO pulls VALUES (?, ?, ?, 0, ?)",
            (pull.job, pull.study_uid, json.dumps(pull.series_uids), submission.created_at),
        )

    def pulls_waiting(self) -> int:
        """The number of jobs whose series are still to be fetched."""
        ((count,),) = self._rows("SELECT count(*) FROM pulls")
        return int(count)

    def is_fetched(self, study_uid: str) -> bool:
        """Whether a job waits for series of a study to be fetched."""
        return bool(self._rows("SELECT 1 FROM pulls WHERE study_uid = ? LIMIT 1", study_uid))

    def due_pull(self, now: float) -> Pull | None:
        """What has waited longest for its next attempt."""
        return next(iter(self._pulls("WHERE due_at <= ? ORDER BY due_at, pulls.rowid LIMIT 1", now)), None)

    def pulls(self) -> list[Pull]:
        """All that is still to be fetched, in the order of the next attempts."""
        return self._pulls("ORDER BY due_at, pulls.rowid")

    def _pulls(self, which: str, *values: object) -> list[Pull]:
        rows = self._rows(
            "SELECT submission, study_uid, series_uids, attempts, code, due_at"
            f" FROM pulls JOIN submissions ON id = submission {which}",
            *values,
        )
        return [Pull(job, study, tuple(json.loads(series)), *more) for job, study, series, *more in rows]

    def begin_pull(self, job: str) -> None:
        """Count an attempt, before it can end the process."""
        with self._transaction() as connection:
            connection.execute("UPDATE pulls SET attempts = attempts + 1 WHERE submission = ?", (job,))

    def postpone_pull(self, job: str, due_at: float, code: str, *, forgiven: bool = False) -> None:
        """Set the time of the next attempt, and note why the last failed; one that is `forgiven` does not count."""
        with self._transaction() as connection:
            connection.execute(
                "UPDATE pulls SET due_at = ?, attempts = attempts - ? WHERE submission = ?",
                (due_at, int(forgiven), job),
            )
            connection.execute("UPDATE submissions SET code = ? WHERE id = ? AND state = 'received'", (code, job))

    def name_pulled(self, job: str, names: Sequence[str]) -> None:
        """Note the series that were fetched, by their names in the spool: before they are there to be judged."""
        with self._transaction() as connection:
            self._name_series(connection, job, names)

    def end_pull(self, job: str, *, code: str = "") -> bool:
        """Note that the series of a job are in the spool, or with a `code` why they never will be; whether the job was
        still wanted."""
        return self._leave_received(job, "failed" if code else "sent", code)

    def withdraw_pull(self, job: str) -> bool:
        """Fetch nothing for a job any more; whether it was still to be fetched."""
        return self._leave_received(job, CANCELLED, "")

    def _leave_received(self, job: str, state: str, code: str) -> bool:
        with self._transaction() as connection:
            changed = connection.execute(
                "UPDATE submissions SET state = ?, code = ? WHERE id = ? AND state = 'received'", (state, code, job)
            ).rowcount
            connection.execute("DELETE FROM pulls WHERE submission = ?", (job,))
        return bool(changed)
