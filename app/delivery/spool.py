"""Received instances on disk until their series is judged, in one folder for all worker processes.

    incoming/<request>/<series>/<instance>   while a request is read; gone with its process
    series/<series>/<instance>               received, waiting for the rest of the series
    judging/<claim>/<instance>               being judged by whoever holds the lock in it
    trash/<claim>                            judged, and being deleted

Names are keyed hashes of UIDs: they tell nothing of the patient. A killed process loses its locks, so that another one
takes over what it was judging; what it was receiving had not been acknowledged and is swept away. What was acknowledged
is on the disk, its bytes and the names that lead to it.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Final

from app.errors import SpoolFull
from app.locks import held, held_if_free, try_lock

LOCK: Final = ".lock"
WHOLE: Final = ".whole"  # several instances of the series came in one request
GATE: Final = ".gate"  # held while files enter or leave `series`
SALT: Final = ".salt"
SALT_BYTES: Final = 32
PRIVATE: Final = 0o700
HOUR_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class SpoolLimits:
    """Most bytes held; hours after which what was not judged is dropped; and the seconds without a new instance after
    which a series is taken for complete: `settle_s` when several came in one request, `quiet_s` when one by one."""

    max_bytes: int
    keep_hours: float
    settle_s: float
    quiet_s: float


class Reception:
    """The instances of one request: nothing of them is seen by anybody until `commit`."""

    def __init__(self, spool: Spool, folder: Path) -> None:
        self._spool = spool
        self._folder = folder
        self._part = folder / ".part"
        self._whole: set[str] = set()

    def open_part(self) -> BinaryIO:
        """A file for the next instance; the last one is replaced unless it was kept."""
        return self._part.open("wb")

    @property
    def part(self) -> Path:
        """Where the open instance is."""
        return self._part

    def keep(self, series_uid: str, instance_uid: str, *, whole: bool = False) -> None:
        """Take the closed part as an instance, its bytes on the disk; `whole` when it is a series by itself."""
        sync(self._part)
        key = self._spool.name_of(series_uid)
        folder = self._folder / key
        folder.mkdir(PRIVATE, exist_ok=True)
        self._part.rename(folder / self._spool.name_of(instance_uid))
        if whole:
            self._whole.add(key)

    def commit(self) -> None:
        """Hand everything kept to whoever judges; from now on a loss of power does not take it away."""
        with self._spool.gate():
            for folder in [f for f in self._folder.iterdir() if f.is_dir()]:
                self._hand_over(folder)
        sync(self._spool.series)

    def _hand_over(self, folder: Path) -> None:
        target = self._spool.series / folder.name
        target.mkdir(PRIVATE, exist_ok=True)
        instances = list(folder.iterdir())
        for instance in instances:
            instance.rename(target / instance.name)
        if len(instances) > 1 or folder.name in self._whole:
            (target / WHOLE).touch()
        os.utime(target)
        sync(target)


@dataclass(slots=True, eq=False)
class Claim:
    """A series to be judged by nobody else."""

    id: str
    _folder: Path
    _trash: Path
    _lock: int

    @property
    def paths(self) -> list[Path]:
        """The files of its instances."""
        return sorted(path for path in self._folder.iterdir() if not path.name.startswith("."))

    @property
    def arrived(self) -> datetime:
        """When its last instance came, the same for every attempt."""
        return datetime.fromtimestamp(max(path.stat().st_mtime for path in self.paths)).astimezone()

    def begin(self) -> int:
        """Count an attempt before it can kill the process; returns its number, 1 for the first."""
        attempt = int(os.pread(self._lock, 16, 0) or b"0") + 1
        os.pwrite(self._lock, str(attempt).encode(), 0)
        return attempt

    def forgive(self) -> None:
        """Do not count the attempt: the series was not at fault."""
        os.pwrite(self._lock, str(self.begin() - 2).encode(), 0)

    def done(self) -> None:
        """Delete it."""
        # Out of sight first: nobody may take over what is half deleted.
        self._folder.rename(self._trash / self.id)
        shutil.rmtree(self._trash / self.id, ignore_errors=True)
        os.close(self._lock)

    def release(self) -> None:
        """Leave it to the next attempt."""
        os.close(self._lock)


class Spool:
    """The folder, created with mode 0700 when missing."""

    def __init__(self, folder: Path, limits: SpoolLimits) -> None:
        self._folder = folder
        self._limits = limits
        places = [folder / name for name in ("incoming", "series", "judging", "trash")]
        self._incoming, self.series, self._judging, self._trash = places
        for path in (folder, *places):
            path.mkdir(PRIVATE, parents=True, exist_ok=True)
            path.chmod(PRIVATE)
        sync(folder.parent)
        self._salt = self._read_salt()

    def name_of(self, uid: str) -> str:
        """What a series or an instance is called here."""
        return hmac.new(self._salt, uid.encode(), hashlib.sha256).hexdigest()[:32]

    @contextmanager
    def gate(self) -> Iterator[None]:
        """Nothing enters or leaves `series` meanwhile but by the caller."""
        with held(self._folder / GATE):
            yield

    @contextmanager
    def reception(self) -> Iterator[Reception]:
        """Room for one request, deleted in the end; raises SpoolFull when there is none."""
        self._check_room()
        folder = self._incoming / str(uuid.uuid4())
        with self.gate():
            folder.mkdir(PRIVATE)
            lock = try_lock(folder / LOCK)
        try:
            yield Reception(self, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            if lock is not None:
                os.close(lock)

    def claim(self, now: float) -> Claim | None:
        """A series that is complete, or one that its judge left; None when there is none. `now` is `time.time()`."""
        for folder in self._judging.iterdir():
            if (claim := self._claimed(folder)) is not None:
                return claim
        with self.gate():
            for series in self.series.iterdir():
                if self._is_complete(series, now):
                    folder = self._judging / str(uuid.uuid4())
                    series.rename(folder)
                    return self._claimed(folder)
        return None

    def sweep(self, now: float) -> int:
        """Delete what dead processes left behind, and series older than the limit; returns how many of these."""
        for folder in self._trash.iterdir():
            shutil.rmtree(folder, ignore_errors=True)
        with self.gate():
            for folder in self._incoming.iterdir():
                with held_if_free(folder / LOCK) as abandoned:
                    if abandoned:
                        shutil.rmtree(folder, ignore_errors=True)
            old = [series for series in self.series.iterdir() if self._is_old(series, now)]
            for series in old:
                shutil.rmtree(series, ignore_errors=True)
        dropped = len(old)
        for folder in [folder for folder in self._judging.iterdir() if self._is_old(folder, now)]:
            if (claim := self._claimed(folder)) is not None:
                claim.done()
                dropped += 1
        return dropped

    def __len__(self) -> int:
        """Series waiting or being judged."""
        return sum(1 for folder in (self.series, self._judging) for _ in folder.iterdir())

    def _claimed(self, folder: Path) -> Claim | None:
        lock = try_lock(folder / LOCK)
        return None if lock is None else Claim(folder.name, folder, self._trash, lock)

    def _is_complete(self, series: Path, now: float) -> bool:
        limits = self._limits
        patience_s = limits.settle_s if (series / WHOLE).exists() else limits.quiet_s
        arriving = any(request for request in self._incoming.iterdir() if (request / series.name).exists())
        return not arriving and _age_s(series, now) >= patience_s

    def _is_old(self, folder: Path, now: float) -> bool:
        return _age_s(folder, now) > self._limits.keep_hours * HOUR_S

    def _check_room(self) -> None:
        used = 0
        for path in self._folder.rglob("*"):
            with suppress(FileNotFoundError):
                used += path.stat().st_size if path.is_file() else 0
        if used >= self._limits.max_bytes:
            raise SpoolFull(
                found=f"{used >> 20} MB waiting to be judged",
                expected=f"less than {self._limits.max_bytes >> 20} MB",
                remedy="Try again later; the operator can raise LUNGSCOPE_SPOOL_MB.",
            )

    def _read_salt(self) -> bytes:
        path = self._folder / SALT
        own = self._folder / f"{SALT}.{uuid.uuid4()}"
        if not path.exists():
            own.write_bytes(secrets.token_bytes(SALT_BYTES))
            own.chmod(0o600)
            sync(own)
            # Linked, not renamed: of several processes that start at once the first one's salt stays.
            with suppress(FileExistsError):
                path.hardlink_to(own)
            own.unlink()
            sync(self._folder)
        return path.read_bytes()


def sync(path: Path) -> None:
    """Return once a file's bytes, or a folder's names, are on the disk: fsync(2)."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _age_s(folder: Path, now: float) -> float:
    try:
        return now - folder.stat().st_mtime
    except FileNotFoundError:
        return 0.0
