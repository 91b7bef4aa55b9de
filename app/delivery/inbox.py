"""What every door needs of spool and results: whether there is room, what is noted of the series that come, and where
their jobs stand."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping

from app.delivery.database.series_states import KNOWN_S, Case, SeriesName
from app.delivery.database.storage import StorageWatch
from app.delivery.database.store import ResultStore
from app.delivery.database.submissions import CANCELLED, JobStatus, Submission
from app.delivery.spool.kept import HOUR_S
from app.delivery.spool.spool import WHOLE, Spool
from app.private_files import PRIVATE_FILE


class Inbox:
    """Spool and result store as doors see them. Results may take `most_bytes`; a state is kept for `keep_hours`.

    `hashed` gives the hash by which logs know a study or an accession number, from `study` or `accession` and a value.
    """

    def __init__(
        self, spool: Spool, store: ResultStore, hashed: Callable[[str, str], str], *, most_bytes: int, keep_hours: float
    ) -> None:
        self.spool = spool
        self.store = store
        self._hashed = hashed
        self._most_bytes = most_bytes
        self._keep_hours = keep_hours

    @property
    def watch(self) -> StorageWatch:
        """The watch of the disk that holds spool and results."""
        return self.store.watch

    def require_room(self) -> None:
        """Raise SpoolFull unless there is room for the results of what comes."""
        self.store.require_room(self._most_bytes)

    def received(self, series: Iterable[tuple[str, str]], accessions: Mapping[str, str] | None = None) -> None:
        """Note that instances of series come, by the UIDs of their study and series: call it before they are there to
        be judged. `accessions` are the accession numbers of some, by the UID of the series."""
        names = [SeriesName(self.spool.name_of(uid), study_uid, uid) for study_uid, uid in series]
        now = time.time()
        self.store.received(names, now=now, expires_at=now + self._keep_hours * HOUR_S)
        self.store.note_cases([self._case(each, accessions or {}) for each in names], expires_at=now + KNOWN_S)

    def submitted(self, job: str, request_id: str, series: Collection[tuple[str, str]]) -> None:
        """Note a job with these series, which were told to `received`: call it before they are there to be judged."""
        now = time.time()
        names = tuple(self.spool.name_of(uid) for _, uid in series)
        expires_at = now + self._keep_hours * HOUR_S
        self.store.submit(Submission(job, request_id, "sent", "", now, names), expires_at=expires_at)

    def all_sent(self, series_uid: str) -> None:
        """Note that a sender of several instances has no more of this series: it need not wait for the long pause."""
        with self.spool.gate():
            series = self.spool.series / self.spool.name_of(series_uid)
            if series.is_dir():
                (series / WHOLE).touch(PRIVATE_FILE)

    def job(self, job: str) -> JobStatus | None:
        """Where a job stands; None of one that never was, or is forgotten."""
        submission = self.store.submission(job)
        if submission is None:
            return None
        # After the job, whose series are there once it is sent, and before its states: what leaves meanwhile has one.
        places = self.spool.places()
        found = (self.store.status_of(name, places) for name in submission.series)
        return JobStatus(submission, [each for each in found if each is not None])

    def cancel(self, submission: Submission) -> bool:
        """Delete the series of a job that nobody judges yet; whether it is cancelled now, or was before."""
        if submission.state == CANCELLED:
            return True
        if submission.state == "received":
            return self.store.withdraw_pull(submission.id)
        if submission.state != "sent" or not self.spool.withdraw(submission.series, submission.id):
            return False
        self.store.withdrawn(submission)
        return True

    def _case(self, series: SeriesName, accessions: Mapping[str, str]) -> Case:
        accession = accessions.get(series.series_uid, "")
        return Case(
            series.name,
            self._hashed("study", series.study_uid),
            self._hashed("accession", accession) if accession else "",
        )
