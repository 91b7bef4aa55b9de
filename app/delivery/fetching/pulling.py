"""Fetches the series of jobs from the archive into the spool."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from app.delivery.database.pulls import Pull
from app.delivery.fetching.source import NotFetched
from app.delivery.inbox import Inbox
from app.delivery.judging import always
from app.delivery.spool.spool import Reception
from app.delivery.turns import in_turn
from app.delivery.worker import Backoff
from app.errors import Unavailable
from app.telemetry import Metrics

MAX_ATTEMPTS: Final = 8  # with pauses that double from 5 s, ten minutes
FAILED: Final = "internal_error"
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Fetched:
    """The series that were fetched, by the UIDs of their study and their own, and accession numbers by series."""

    series: frozenset[tuple[str, str]]
    accessions: Mapping[str, str]


# Fetches what a pull names into a reception; raises NotFetched, and Unavailable.
Fetch: TypeAlias = Callable[[Pull, Reception], Fetched]


@dataclass(frozen=True, slots=True)
class PullWork:
    """Fetches for one job at a time. Only one process at a time fetches; one that dies is followed by another.

    Nothing is fetched unless `may_begin`.
    """

    inbox: Inbox
    fetch: Fetch
    lock: Path
    backoff: Backoff
    metrics: Metrics
    may_begin: Callable[[], bool] = always

    def step(self, now: float | None = None) -> bool:
        """Fetch for the job that has waited longest; returns whether there was one, and it waits no more."""
        return in_turn(self.inbox.store, self.lock, self.may_begin, now, self._next)

    def _next(self, now: float) -> bool:
        pull = self.inbox.store.due_pull(now)
        return pull is not None and self._pull(pull, now)

    def _pull(self, pull: Pull, now: float) -> bool:
        store = self.inbox.store
        if pull.attempts >= MAX_ATTEMPTS:
            return self._give_up(pull, pull.code or FAILED)
        store.begin_pull(pull.job)
        try:
            names = self._fetch(pull)
        except NotFetched as error:
            if not error.passing:
                return self._give_up(pull, error.code)
            self.metrics.pulls("retry").inc()
            store.postpone_pull(pull.job, now + self.backoff.pause_s(pull.attempts + 1), error.code)
            return False
        except Unavailable as error:  # no fault of the job
            store.postpone_pull(pull.job, now + self.backoff.pause_s(1), error.code, forgiven=True)
            return False
        except (OSError, sqlite3.Error):
            with suppress(OSError, sqlite3.Error):
                store.postpone_pull(pull.job, now, pull.code, forgiven=True)
            raise
        self.inbox.watch.succeeded()
        self.metrics.pulls("fetched").inc()
        if not store.end_pull(pull.job):  # cancelled meanwhile
            self.inbox.spool.withdraw(names, pull.job)
        return True

    def _fetch(self, pull: Pull) -> list[str]:
        """The names in the spool of the series that were fetched."""
        spool = self.inbox.spool
        self.inbox.require_room()
        with spool.reception(pull.job) as reception:
            fetched = self.fetch(pull, reception)
            self.inbox.received(fetched.series, fetched.accessions)
            names = [spool.name_of(uid) for _, uid in sorted(fetched.series)]
            self.inbox.store.name_pulled(pull.job, names)
            reception.commit()
        return names

    def _give_up(self, pull: Pull, code: str) -> bool:
        logger.warning("what a job asks for cannot be fetched: %s", code)
        self.metrics.pulls("failed").inc()
        self.inbox.store.end_pull(pull.job, code=code)
        return True
