"""Received instances on disk until their series is judged, in one folder for all worker processes.

    incoming/<request>/<series>/<instance>   while a request is read; gone with its process
    series/<series>/<instance>               received, waiting for the rest of the series
    judging/<series>.<claim>/<instance>      being judged by whoever holds the lock in it; of a series one at a time
    judged/<series>/<instance>               judged, and kept for instances that may come late
    trash/<claim>                            being deleted
    quarantine/<entry>                       what cannot be used, until it is too old

Names are keyed hashes of UIDs: they tell nothing of the patient. A killed process loses its locks, so that another one
takes over what it was judging; what it was receiving had not been acknowledged and is swept away. What was acknowledged
is on the disk, its bytes and the names that lead to it.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import shutil
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Literal

from app.delivery.spool.claim import SEPARATOR, Claim
from app.delivery.spool.job_mark import mark, marked, unmark
from app.delivery.spool.kept import HOUR_S, KeptSeries, bytes_in
from app.delivery.spool.quarantine import Quarantine, delete
from app.delivery.spool.salt import read_salt
from app.errors import SpoolFull
from app.locks import held, held_if_free, try_lock
from app.private_files import PRIVATE, PRIVATE_FILE, own_folder, private_opener, sync, unusable

LOCK: Final = ".lock"
WHOLE: Final = ".whole"  # several instances of the series came in one request
GATE: Final = ".gate"  # held while files enter or leave `series`
CHECK_BYTES: Final = 64 << 20  # that a request may write before it is looked whether there is room for more


@dataclass(frozen=True, slots=True)
class SpoolLimits:
    """The most bytes in the spool, the hours that a series may wait, and the seconds after which a series is complete.

    A series is complete when no new instance has come for `settle_s` after a request with several instances, or for
    `quiet_s` after a request with one. A series that was judged is kept for `late_hours`, or until its room is needed.
    """

    max_bytes: int
    keep_hours: float
    settle_s: float
    quiet_s: float
    late_hours: float = 0


class Reception:
    """The instances of one request or association; no other worker sees them before `commit`. Those of a `job` are all
    that it sends: their series need not wait for the long pause."""

    def __init__(self, spool: Spool, folder: Path, job: str = "") -> None:
        self._spool = spool
        self._folder = folder
        self._job = job
        self._part = folder / ".part"
        self._whole: set[str] = set()
        self._unchecked_bytes = 0
        self._at_work = threading.Lock()

    def begin(self) -> int | None:
        """Make the folder; returns the descriptor that locks it. The caller holds the gate."""
        self._folder.mkdir(PRIVATE)
        return try_lock(self._folder / LOCK)

    def open_part(self) -> BinaryIO:
        """A file for the next instance; it replaces the last one unless that was kept."""
        return open(self._part, "wb", opener=private_opener)

    def wrote(self, count: int) -> None:
        """Count bytes that were written; raises SpoolFull where there is no room for more, looked at now and then."""
        self._unchecked_bytes += count
        if self._unchecked_bytes > CHECK_BYTES:
            self._unchecked_bytes = 0
            self._spool.check_room()

    @property
    def part(self) -> Path:
        """The path of the open instance."""
        return self._part

    def keep(self, series_uid: str, instance_uid: str, *, whole: bool = False) -> None:
        """Keep the closed part as an instance and write it to the disk; `whole` when it is a series by itself."""
        sync(self._part)
        key = self._spool.name_of(series_uid)
        folder = self._folder / key
        folder.mkdir(PRIVATE, exist_ok=True)
        self._part.rename(folder / self._spool.name_of(instance_uid))
        if whole:
            self._whole.add(key)

    def commit(self) -> None:
        """Move all kept instances to where they are judged; after that a loss of power does not lose them.

        All or nothing: raises OSError and moves the instances back when the disk does not take all of them.
        """
        taken: list[tuple[Path, Path]] = []
        with self._at_work, self._spool.gate():
            try:
                for folder in [f for f in self._folder.iterdir() if f.is_dir()]:
                    self._hand_over(folder, taken)
                sync(self._spool.series)
            except OSError:
                _take_back(taken)
                raise

    def end(self) -> None:
        """Delete the rest of the reception, after a `commit` that still runs: its caller may have gone."""
        with self._at_work:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _hand_over(self, folder: Path, taken: list[tuple[Path, Path]]) -> None:
        alone = not (self._spool.series / folder.name).exists()
        target = self._spool.place_for(folder.name)
        instances = list(folder.iterdir())
        for instance in instances:
            place = target / instance.name
            if place.is_dir():
                self._spool.quarantine.take(place, "a folder in place of an instance")
            # One that was acknowledged before is replaced by the same, and stays.
            if not place.exists():
                taken.append((place, instance))
            instance.rename(place)
        if len(instances) > 1 or folder.name in self._whole or self._job:
            (target / WHOLE).touch(PRIVATE_FILE)
        if self._job and alone:
            mark(target, self._job)
        os.utime(target)
        sync(target)


def _take_back(taken: list[tuple[Path, Path]]) -> None:
    """Undo renames, so that no instance of a failed request is judged."""
    for place, origin in taken:
        with suppress(OSError):
            place.rename(origin)
    for folder in {place.parent for place, _ in taken}:
        with suppress(OSError):
            if all(path.name.startswith(".") for path in folder.iterdir()):
                delete(folder)


class Spool:
    """The folder of received series, created with mode 0700 when missing. Raises SettingsError when that fails.

    Unusable entries go to its quarantine, which calls `on_quarantine` for each; the work on the others goes on.
    """

    def __init__(self, folder: Path, limits: SpoolLimits, on_quarantine: Callable[[], None] = lambda: None) -> None:
        self._folder = folder
        self._limits = limits
        self._places = [folder / name for name in ("incoming", "series", "judging", "judged", "trash", "quarantine")]
        self._incoming, self.series, self._judging, kept, self._trash, quarantine = self._places
        self._kept = KeptSeries(kept, limits.late_hours)
        self.quarantine = Quarantine(quarantine, on_quarantine)
        try:
            self.make_places()
            sync(folder.parent)
            self._salt = read_salt(folder, folder / GATE)
        except OSError as error:
            raise unusable(folder, error) from None

    def make_places(self) -> None:
        """Make the missing folders, for example after somebody has deleted them; raises OSError."""
        for path in (self._folder, *self._places):
            own_folder(path)

    def name_of(self, uid: str) -> str:
        """The name of a series or an instance in the spool."""
        return hmac.new(self._salt, uid.encode(), hashlib.sha256).hexdigest()[:32]

    @contextmanager
    def gate(self) -> Iterator[None]:
        """Within the block, only the caller moves anything into or out of `series`."""
        with held(self._folder / GATE):
            yield

    def place_for(self, name: str) -> Path:
        """The folder of a series, made when missing; the caller holds the gate."""
        place = self.series / name
        if os.path.lexists(place):
            self.quarantine.takes_odd(place)
        place.mkdir(PRIVATE, exist_ok=True)
        unmark(place)
        return place

    def withdraw(self, names: Iterable[str], job: str) -> bool:
        """Delete waiting series that a job brought, all of them or none; whether they were. None is where one is not
        waiting, or where others brought instances of it too."""
        with self.gate():
            places = [self.series / name for name in names]
            if not all(marked(place) == job for place in places):
                return False
            for place in places:
                place.rename(self._trash / f"{place.name}{SEPARATOR}{uuid.uuid4()}")
            sync(self.series)
        return True

    @contextmanager
    def reception(self, job: str = "") -> Iterator[Reception]:
        """A reception for one request, deleted at the end; raises SpoolFull when there is no room."""
        self.check_room()
        reception, lock = Reception(self, self._incoming / str(uuid.uuid4()), job), None
        try:
            with self.gate():
                lock = reception.begin()
            yield reception
        finally:
            reception.end()
            if lock is not None:
                os.close(lock)

    def claim(self, now: float, may_take: Callable[[Path], bool] = lambda _: True) -> Claim | None:
        """A claim on a complete series that `may_take` takes, or on one whose judge has ended; None when there is none.
        `now` is `time.time()`."""
        for folder in self._judging.iterdir():
            with self.quarantine.instead_of(folder):
                if not self.quarantine.takes_odd(folder, named=False) and (claim := self._claimed(folder)):
                    with self.gate():
                        self._kept.rejoin(claim.series, folder)
                    return claim
        with self.gate():
            for series in self.series.iterdir():
                with self.quarantine.instead_of(series):
                    odd = self.quarantine.takes_odd(series)
                    if not odd and (claim := self._claimed_if_complete(series, now, may_take)):
                        return claim
        return None

    def sweep(self, now: float) -> None:
        """Delete what dead processes left behind, and what has been in quarantine for too long."""
        for entry in self._trash.iterdir():
            delete(entry)
        self.quarantine.expire(now - self._limits.keep_hours * HOUR_S)
        with self.gate():
            self._kept.expire(now)
            for folder in self._incoming.iterdir():
                self._sweep_reception(folder)

    def drop_old(self, now: float) -> dict[str, frozenset[str]]:
        """Delete series older than the limit; returns their names, and those of their instances."""
        dropped: dict[str, frozenset[str]] = {}
        with self.gate():
            for series in [series for series in self.series.iterdir() if self._is_old(series, now)]:
                names: frozenset[str] = frozenset()
                with self.quarantine.instead_of(series):
                    names = frozenset(path.name for path in self.quarantine.usable(series))
                delete(series)
                if not series.exists():
                    dropped[series.name] = names
        for folder in [folder for folder in self._judging.iterdir() if self._is_old(folder, now)]:
            with self.quarantine.instead_of(folder):
                if (claim := self._claimed(folder)) is not None:
                    dropped[claim.series or claim.id] = claim.instances
                    claim.done()
        return dropped

    def _sweep_reception(self, folder: Path) -> None:
        if self.quarantine.takes_odd(folder, named=False):
            return
        with self.quarantine.instead_of(folder), held_if_free(folder / LOCK) as abandoned:
            if abandoned:
                delete(folder)

    def __len__(self) -> int:
        """The number of series that wait or are being judged."""
        return sum(1 for folder in (self.series, self._judging) for _ in folder.iterdir())

    def places(self) -> dict[str, Literal["waiting", "judging"]]:
        """Where the series in the spool are, by their names: those that are judged and those that wait."""
        waiting: dict[str, Literal["waiting", "judging"]] = {path.name: "waiting" for path in self.series.iterdir()}
        return waiting | {path.name.partition(SEPARATOR)[0]: "judging" for path in self._judging.iterdir()}

    def _claimed_if_complete(self, series: Path, now: float, may_take: Callable[[Path], bool]) -> Claim | None:
        """The claim on a series, moved to `judging` and joined by what is kept of it, if it is complete and nobody
        judges what came of it before; the caller holds the gate."""
        judging = self.places().get(series.name) == "judging"
        if judging or not (self._is_complete(series, now) and may_take(series)):
            return None
        folder = self._judging / f"{series.name}{SEPARATOR}{uuid.uuid4()}"
        series.rename(folder)
        self._kept.rejoin(series.name, folder)
        return self._claimed(folder)

    def _claimed(self, folder: Path) -> Claim | None:
        """The claim on a folder in `judging`; None when another worker has it, or when it holds nothing to judge."""
        lock = try_lock(folder / LOCK)
        if lock is None:
            return None
        claim = Claim(folder.name, folder, self._trash, lock, self.quarantine, self._kept)
        try:
            if claim.paths:
                return claim
            claim.done()
        except OSError:
            claim.release()
            raise
        return None

    def _is_complete(self, series: Path, now: float) -> bool:
        limits = self._limits
        patience_s = limits.settle_s if (series / WHOLE).exists() else limits.quiet_s
        arriving = any(request for request in self._incoming.iterdir() if (request / series.name).exists())
        age_s = _age_s(series, now)
        if age_s < 0:  # the clock was set back: how old it is nobody knows, and it must not wait until it is that time
            os.utime(series, (now, now))
        return not arriving and age_s >= patience_s

    def _is_old(self, folder: Path, now: float) -> bool:
        return _age_s(folder, now) > self._limits.keep_hours * HOUR_S

    def check_room(self) -> None:
        """Raise SpoolFull where as much waits, or is being received, as may, when what is only kept has gone."""
        while (used := self._used_bytes()) >= self._limits.max_bytes:
            with self.gate():
                made_room = self._kept.drop_oldest()
            if not made_room:
                raise SpoolFull(
                    found=f"{used >> 20} MB waiting to be judged",
                    expected=f"less than {self._limits.max_bytes >> 20} MB",
                    remedy="Try again later; the operator can raise LUNGSCOPE_SPOOL_MB.",
                )

    def _used_bytes(self) -> int:
        at_work = (self._incoming, self.series, self._judging, self._trash, self.quarantine.folder)
        return sum(map(bytes_in, at_work)) + self._kept.used_bytes()


def _age_s(folder: Path, now: float) -> float:
    try:
        return now - folder.lstat().st_mtime
    except FileNotFoundError:
        return 0.0
