"""What every door needs of spool and results: whether there is room, and what is noted of the series that come."""

from __future__ import annotations

import time
from collections.abc import Iterable

from app.delivery.kept import HOUR_S
from app.delivery.series_states import SeriesName
from app.delivery.spool import WHOLE, Spool
from app.delivery.storage import StorageWatch
from app.delivery.store import ResultStore
from app.private_files import PRIVATE_FILE


class Inbox:
    """Spool and result store as doors see them. Results may take `most_bytes`; a state is kept for `keep_hours`."""

    def __init__(self, spool: Spool, store: ResultStore, most_bytes: int, keep_hours: float) -> None:
        self.spool = spool
        self.store = store
        self._most_bytes = most_bytes
        self._keep_hours = keep_hours

    @property
    def watch(self) -> StorageWatch:
        """The watch of the disk that holds spool and results."""
        return self.store.watch

    def require_room(self) -> None:
        """Raise SpoolFull unless there is room for the results of what comes."""
        self.store.require_room(self._most_bytes)

    def received(self, series: Iterable[tuple[str, str]]) -> None:
        """Note that instances of series come, by the UIDs of their study and series: call it before they are there to
        be judged."""
        names = [SeriesName(self.spool.name_of(uid), study_uid, uid) for study_uid, uid in series]
        now = time.time()
        self.store.received(names, now=now, expires_at=now + self._keep_hours * HOUR_S)

    def all_sent(self, series_uid: str) -> None:
        """Note that a sender of several instances has no more of this series: it need not wait for the long pause."""
        with self.spool.gate():
            series = self.spool.series / self.spool.name_of(series_uid)
            if series.is_dir():
                (series / WHOLE).touch(PRIVATE_FILE)
