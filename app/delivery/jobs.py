"""What an operator sees and does of what waits: fetches, series in the spool, the quarantine, deliveries."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

from app.delivery.database.pulls import Pull
from app.delivery.database.series_states import DROPPED, Case, SeriesStatus, Settled
from app.delivery.database.store import GIVEN_UP, Owed, ResultStore
from app.delivery.spool.quarantine import NAME, delete
from app.delivery.spool.spool import Spool
from app.private_files import sync

SEPARATOR: Final = ":"  # between a destination and a result's UID
JobState: TypeAlias = Literal["fetching", "waiting", "judging", "quarantined", "delivering", "refused", "given_up"]
# The Series Instance UID that the files of a folder have; None where none can be read.
ReadSeriesUid: TypeAlias = Callable[[Path], str | None]


@dataclass(frozen=True, slots=True)
class Job:
    """Something that waits, or that needs an operator: `id` names it for `retry` and `drop`.

    `series` is the name of its series in logs, where that is known; `code` says why a destination refused it, or why
    the last attempt to fetch it failed.
    """

    id: str
    state: JobState
    series: str | None = None
    destination: str | None = None
    attempts: int | None = None
    due_at: float | None = None
    code: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A series that was looked for: its hashes in logs, and where it stands; None once that is forgotten."""

    case: Case
    status: SeriesStatus | None


class Jobs:
    """The jobs in a folder of a service, which may run meanwhile; what is done is remembered for `keep_s`."""

    def __init__(self, spool: Spool, store: ResultStore, series_uid_in: ReadSeriesUid, keep_s: float) -> None:
        self._spool = spool
        self._store = store
        self._series_uid_in = series_uid_in
        self._keep_s = keep_s

    def all(self) -> list[Job]:
        """What is to be fetched, series that wait or are being judged, entries in quarantine, deliveries."""
        waiting = (Job(name, state, series=name) for name, state in sorted(self._spool.places().items()))
        apart = (Job(path.name, "quarantined", self._name_of(path)) for path in sorted(self._quarantined()))
        return [*map(_fetch, self._store.pulls()), *waiting, *apart, *map(_delivery, self._store.owed())]

    def retry(self, job: str, *, now: float) -> bool:
        """Have a result sent, or a series from quarantine judged, again; whether there is such a job."""
        destination, separator, uid = job.partition(SEPARATOR)
        if separator:
            return self._store.send_again(destination, uid, now=now)
        return any(self._bring_back(path) for path in self._quarantined() if path.name == job)

    def drop(self, job: str, *, now: float) -> bool:
        """Delete a series that waits or is in quarantine, fetch nothing for a job, or send a result no more; whether
        there is such a job. A series that is being judged stays."""
        destination, separator, uid = job.partition(SEPARATOR)
        if separator:
            return self._store.give_up(destination, uid)
        if any(pull.job == job for pull in self._store.pulls()):
            return self._store.withdraw_pull(job)
        for path in self._quarantined():
            if path.name == job:
                delete(path)
                return True
        return bool(NAME.fullmatch(job)) and self._drop_waiting(job, now)

    def find(self, hashed: str) -> list[Found]:
        """The series of a study or an accession number, by its hash in logs."""
        places = self._spool.places()
        return [Found(case, self._store.status_of(case.name, places)) for case in self._store.find_cases(hashed)]

    def _quarantined(self) -> Iterator[Path]:
        return self._spool.quarantine.folder.iterdir()

    def _name_of(self, entry: Path) -> str | None:
        uid = self._series_uid_in(entry) if entry.is_dir() else None
        return None if uid is None else self._spool.name_of(uid)

    def _bring_back(self, entry: Path) -> bool:
        """Move a whole series from quarantine to those that wait, its attempts forgotten."""
        name = self._name_of(entry)
        if name is None:
            return False
        with self._spool.gate():
            place = self._spool.place_for(name)
            for instance in list(entry.iterdir()):
                if NAME.fullmatch(instance.name) and not (place / instance.name).exists():
                    instance.rename(place / instance.name)
            sync(place)
        delete(entry)
        return True

    def _drop_waiting(self, name: str, now: float) -> bool:
        with self._spool.gate():
            place = self._spool.series / name
            if not place.is_dir():
                return False
            instances = frozenset(path.name for path in place.iterdir() if NAME.fullmatch(path.name))
            delete(place)
        self._store.drop(Settled(name, "failed", instances, DROPPED), now=now, keep_s=self._keep_s)
        return True


def _fetch(pull: Pull) -> Job:
    return Job(pull.job, "fetching", attempts=pull.attempts, due_at=pull.due_at, code=pull.code or None)


def _delivery(owed: Owed) -> Job:
    job = f"{owed.destination}{SEPARATOR}{owed.uid}"
    if not owed.code:
        return Job(job, "delivering", None, owed.destination, owed.attempts, owed.due_at)
    state: JobState = "given_up" if owed.code == GIVEN_UP else "refused"
    return Job(job, state, None, owed.destination, code=owed.code)
