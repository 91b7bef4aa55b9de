"""A chain of lines on the disk, written by one process at a time.

A folder holds `chain-0`, `chain-1` and so on. A process takes the first that nobody writes (flock), and goes on after
its last line. So no line waits for another worker, none is lost with a killed one, and a stopped one stops itself
alone. A chain is one file after the other, each named by the number of its first line.
"""

from __future__ import annotations

import errno
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from app.audit.event import Event
from app.audit.line import ORIGIN, Line, NotALine, write_line
from app.locks import try_lock
from app.private_files import PRIVATE_FILE, private_folder, sync

DAY_S: Final = 86_400
FILE_DAYS: Final = 7  # most days in one file: what is deleted after its time goes file by file
EXPIRY_PAUSE_S: Final = DAY_S  # between two files of a chain: a clock that is wrong for a day takes one file
STEP_S: Final = 1.0  # from which a clock was set: it runs no faster than others by 1 in 1000
MAX_CHAINS: Final = 1024  # four times the most workers
TAIL_BYTES: Final = 1 << 20  # no line is longer
EXPIRED_MARK: Final = "expired"
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ChainLimits:
    """When a file is full, in bytes, and for how many days files are kept."""

    file_bytes: int = 64 << 20
    keep_days: float = 365


class BrokenEnd(Exception):
    """The last line of a chain is none: whoever wrote on would cover that up."""


def files_of(chain: Path) -> list[Path]:
    """The files of a chain, in order."""
    return sorted(chain.glob("[0-9]*.jsonl"))


def chains_in(folder: Path) -> list[Path]:
    """The chains in a folder, in order."""
    found = (path for path in folder.glob("chain-*") if path.is_dir() and path.name[6:].isdecimal())
    return sorted(found, key=lambda path: int(path.name[6:]))


class Chain:
    """One chain, open to be written by this process; not safe among threads."""

    def __init__(
        self,
        path: Path,
        lock: int,
        limits: ChainLimits,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Go on after the last line, without what a write that was cut short left behind it.

        Raises BrokenEnd, and OSError.
        """
        self.path = path
        self._lock = lock
        self._limits = limits
        self._wall, self._monotonic = wall, monotonic
        self.seq, self.head = 0, ORIGIN
        self._file = -1
        self._size = self._torn = 0
        self._begun = wall()
        self._at = (wall(), monotonic())
        try:
            self._continue()
        except BaseException:
            self.close()
            raise

    @classmethod
    def claim(cls, folder: Path, limits: ChainLimits | None = None, **clocks: Callable[[], float]) -> Self:
        """The first chain of a folder that no process writes; a new one where there is none. Raises OSError."""
        for number in range(MAX_CHAINS):
            path = folder / f"chain-{number}"
            private_folder(path)
            if (lock := try_lock(path / "lock")) is None:
                continue
            try:
                return cls(path, lock, limits or ChainLimits(), **clocks)
            except BrokenEnd as error:
                logger.error("%s is left as it is and another begun: %s", path.name, error)
        raise OSError(errno.EMFILE, "every chain is written by some process, or damaged")

    def append(self, event: Event) -> None:
        """Write one line; raises OSError when it cannot be written, and the chain is as before.

        It is in the system's memory then, where a killed process does not lose it, and on the disk after `sync`.
        """
        now, passed = self._wall(), self._monotonic()
        fields: Mapping[str, Any] = event.fields()
        step_s = (now - self._at[0]) - (passed - self._at[1])
        if abs(step_s) > STEP_S:
            fields = {**fields, "clock_step_s": round(step_s, 3)}
        line, digest = write_line(self.seq + 1, now, self.head, fields)
        self._make_room(now, len(line))
        self._write(line)
        self.seq, self.head, self._at = self.seq + 1, digest, (now, passed)

    def sync(self) -> None:
        """Return once all lines are on the disk; raises OSError."""
        os.fdatasync(self._file)

    def expire(self) -> int:
        """Delete the oldest file whose lines are all older than the limit, and note it in a line; the number of files
        deleted, 0 or 1. Raises OSError."""
        now, mark = self._wall(), self.path / EXPIRED_MARK
        last = expired_end(self.path, self._limits, now)
        oldest, *younger = files_of(self.path)
        if last is None or not younger:
            return 0
        # The line first: killed in between, the file is found again, and noted twice.
        self.append(Event("expire_trail", details={"through_seq": last.seq, "through_hash": last.hash}))
        self.sync()
        oldest.unlink()
        mark.touch(PRIVATE_FILE)
        os.utime(mark, (now, now))
        return 1

    def close(self) -> None:
        """Give the chain to whoever wants it next."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _continue(self) -> None:
        files = files_of(self.path)
        last: Line | None = None
        torn = 0
        for path in reversed(files):
            last, torn_here = _end_of(path)
            torn += torn_here
            if last is not None:
                break
        if last is not None:
            self.seq, self.head = last.seq, last.hash
            self._at = (max(self._at[0], last.moment()), self._at[1])
        self._open(files[-1] if files else self.path / _name(self.seq + 1), torn)

    def _open(self, path: Path, torn: int) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, PRIVATE_FILE)
        self._size = _whole_bytes(path)
        os.ftruncate(self._file, self._size)
        first = _first_line(path)
        self._begun = self._at[0] if first is None else first.moment()
        sync(self.path)
        details = {"torn_bytes": torn} if torn else {}
        self.append(Event("open_trail", details=details))

    def _make_room(self, now: float, more: int) -> None:
        """Begin another file where this one is full or old; a disk that is full is found by the write."""
        full = self._size + more > self._limits.file_bytes or now - self._begun > FILE_DAYS * DAY_S
        if not full or not self._size:
            return
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        os.fdatasync(self._file)
        try:
            made = os.open(self.path / _name(self.seq + 1), flags, PRIVATE_FILE)
        except OSError as error:
            logger.error("no further file for %s (%s): the present one goes on", self.path.name, error.strerror)
            self._begun = now
            return
        os.close(self._file)
        self._file, self._size, self._begun = made, 0, now
        sync(self.path)

    def _write(self, line: bytes) -> None:
        if self._torn:
            os.ftruncate(self._file, self._size)
            self._torn = 0
        try:
            written = os.write(self._file, line)
            if written != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            # Whatever part of it is there would hide the end of the chain.
            self._torn = 1
            os.ftruncate(self._file, self._size)
            self._torn = 0
            raise
        self._size += written


def expired_end(chain: Path, limits: ChainLimits, now: float) -> Line | None:
    """The last line of the oldest file of a chain if that may be deleted now: no line of it is to be kept, and it is a
    day since the last one was deleted."""
    mark = chain / EXPIRED_MARK
    if mark.exists() and abs(now - mark.stat().st_mtime) < EXPIRY_PAUSE_S:
        return None
    try:
        last = _end_of(files_of(chain)[0])[0]
    except (BrokenEnd, IndexError):
        return None  # what is damaged is evidence, and stays
    return last if last is not None and now - last.moment() >= limits.keep_days * DAY_S else None


def lines_of(path: Path) -> Iterator[bytes]:
    """The raw lines of a file, each with its newline but one that was cut short."""
    with path.open("rb") as file:
        yield from file


def _name(seq: int) -> str:
    return f"{seq:012d}.jsonl"


def _end_of(path: Path) -> tuple[Line | None, int]:
    """The last line of a file, None where it has none, and the bytes behind it that are no whole line; raises
    BrokenEnd."""
    whole = _whole_bytes(path)
    torn = path.stat().st_size - whole
    if not whole:
        return None, torn
    with path.open("rb") as file:
        file.seek(max(0, whole - TAIL_BYTES))
        tail = file.read(whole - file.tell())
    try:
        return Line.read(tail[tail.rfind(b"\n", 0, -1) + 1 :]), torn
    except NotALine as error:
        raise BrokenEnd(f"its last line: {error}") from None


def _first_line(path: Path) -> Line | None:
    try:
        return Line.read(next(lines_of(path), b""))
    except NotALine:
        return None


def _whole_bytes(path: Path) -> int:
    """The bytes of a file up to its last newline; all of it where none is near its end."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = max(0, size - TAIL_BYTES)
        file.seek(start)
        at = file.read(size - start).rfind(b"\n")
    if at < 0:
        return size if start else 0
    return start + at + 1
