"""The audit trail of one process: takes events from all its threads, and decides what happens when they cannot be kept.

By default nothing is judged then (`AuditFull`, `AuditUnavailable`): what happens is on record, or does not happen. A
site that would rather go on unrecorded says so; the trail then notes how many lines it lacks as soon as it can.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from app.audit.anchors import ANCHORS_FILE, Anchor
from app.audit.chain import Chain, ChainLimits, chains_in, expired_end
from app.audit.event import Event
from app.audit.line import utc
from app.errors import AuditFull, AuditUnavailable
from app.locks import try_lock
from app.private_files import FULL, private_opener, state_folder
from app.security.pseudonyms import load_key, pseudonym
from app.signing import SigningKey

TICK_S: Final = 1.0  # lines are on the disk, and refusals in a line, within so long
RETRY_S: Final = 1.0  # between two attempts to write where the last one failed
CHORES_S: Final = 3600.0  # between two anchors, and two looks for files that are old enough to be deleted
MAX_REFUSALS: Final = 1000  # kinds of refusals in one tick; what is beyond is counted as one
WhenFull = Literal["refuse", "go-on"]
logger = logging.getLogger(__name__)
Refusal = tuple[str, str, str, str | None]


@dataclass(frozen=True, slots=True)
class TrailOptions:
    """How a trail is kept: its limits, what happens when it cannot be, where anchors go, and what signs them."""

    limits: ChainLimits = field(default_factory=ChainLimits)
    when_full: WhenFull = "refuse"
    anchors: Path | None = None
    signing_key: SigningKey | None = None


@dataclass(slots=True)
class _Gap:
    """Events that were not written: since when, how many, and why."""

    since: float
    lost: int
    why: str


class AuditTrail:
    """The chain that this process writes. Safe among threads.

    `told` is called with true or false when writing becomes possible or impossible, and with the number of events that
    were lost.
    """

    def __init__(
        self,
        folder: Path,
        key: bytes,
        options: TrailOptions | None = None,
        told: Callable[[bool, int], None] | None = None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder = folder
        self.options = options or TrailOptions()
        self.trouble: str | None = None
        self._key = key
        self._told = told or _tell_nobody
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._chain: Chain | None = None
        self._gap: _Gap | None = None
        self._full = self._dirty = False
        self._retry_at = self._chores_at = 0.0
        self._refusals: Counter[Refusal] = Counter()
        self._refusals_lock = threading.Lock()  # its own: the event loop counts, and must not wait for a disk
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="audit trail", daemon=True)

    @classmethod
    def at(
        cls, folder: Path, options: TrailOptions | None = None, told: Callable[[bool, int], None] | None = None
    ) -> AuditTrail:
        """The trail in a folder, which is made or tightened, with the key that is kept there; raises SettingsError."""
        state_folder(folder, "LUNGSCOPE_AUDIT_DIR")
        if options is not None and options.anchors is not None:
            state_folder(options.anchors, "LUNGSCOPE_AUDIT_ANCHORS")
        return cls(folder, load_key(folder), options, told)

    @property
    def chain(self) -> Path | None:
        """The folder of the chain that this process writes, once it could take one."""
        return None if self._chain is None else self._chain.path

    @property
    def refuses(self) -> bool:
        """Whether nothing is to be judged now: events cannot be written, and must be."""
        return self.trouble is not None and self.options.when_full == "refuse"

    def subject(self, **values: str | Sequence[str] | None) -> dict[str, str | list[str]]:
        """The names by which lines call a study, a series and so on (`app.security.pseudonyms`), of those given."""
        return {kind: self._named(kind, value) for kind, value in values.items() if value}

    def _named(self, kind: str, value: str | Sequence[str]) -> str | list[str]:
        if isinstance(value, str):
            return pseudonym(self._key, kind, value)
        return [pseudonym(self._key, kind, each) for each in value]

    def require(self) -> None:
        """Raise AuditFull or AuditUnavailable where an event must be written and cannot be now."""
        if self.refuses:
            raise self._refusal()

    def record(self, event: Event) -> None:
        """Write an event; raises AuditFull or AuditUnavailable where it must be written and cannot be."""
        with self._lock:
            if not self._write(event) and self.options.when_full == "refuse":
                raise self._refusal()

    def refused(self, who: str, action: str, code: str, address: str | None = None) -> None:
        """Count a request that was refused, for one line a second for all of its kind: whoever sends thousands must
        not fill the disk."""
        kind: Refusal = (who, action, code, address)
        with self._refusals_lock:
            if kind not in self._refusals and len(self._refusals) >= MAX_REFUSALS:
                kind = ("others", "", "", None)
            self._refusals[kind] += 1

    def start(self) -> None:
        """Take a chain, and start what writes refusals, anchors and to the disk, every second."""
        self._told(True, 0)
        with self._lock:
            self._write(None)
        self._thread.start()

    def close(self) -> None:
        """Write what is left, with an anchor, and give the chain away."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self.tick(closing=True)
        with self._lock:
            if self._chain is not None:
                self._chain.close()
                self._chain = None

    def anchor(self) -> Anchor | None:
        """An anchor of the chain as it is now; None before its first line."""
        with self._lock:
            chain = self._chain
            if chain is None or not chain.seq:
                return None
            return Anchor.of(chain.path.name, chain.seq, chain.head, time.time(), self.options.signing_key)

    def _write(self, event: Event | None) -> bool:
        """Write an event, and before it what is known of lost ones; whether that was done. The lock is held."""
        if self.trouble is not None and self._monotonic() < self._retry_at:
            self._lose(event)
            return False
        try:
            if self._chain is None:
                self._chain = Chain.claim(self.folder, self.options.limits)
            if self._gap is not None:
                self._chain.append(_gap_event(self._gap))
                self._gap = None
            if event is not None:
                self._chain.append(event)
                self._dirty = True
        except OSError as error:
            self._failed(error)
            self._lose(event)
            return False
        if self.trouble is not None:
            self.trouble = None
            logger.warning("the audit trail can be written again: %s", self.folder)
            self._told(True, 0)
        return True

    def _lose(self, event: Event | None) -> None:
        if event is None:
            return
        self._gap = self._gap or _Gap(time.time(), 0, self.trouble or "")
        self._gap.lost += 1
        self._told(False, 1)

    def _failed(self, error: OSError) -> None:
        if self.trouble is None:
            logger.error("the audit trail cannot be written: %s: %s", self.folder, error.strerror)
        self.trouble = error.strerror or type(error).__name__
        self._full = error.errno in FULL
        self._retry_at = self._monotonic() + RETRY_S
        self._told(False, 0)

    def _refusal(self) -> AuditFull | AuditUnavailable:
        kind = AuditFull if self._full else AuditUnavailable
        return kind(
            found=f"an audit trail that cannot be written: {self.trouble}",
            expected="that what is done is on record",
            remedy="Try again later, nothing was done; the operator has to look after LUNGSCOPE_AUDIT_DIR.",
        )

    def _run(self) -> None:
        while not self._stop.wait(TICK_S):
            self.tick()

    def tick(self, *, closing: bool = False) -> None:
        """Write refusals as lines, and lines to the disk; every hour, and when `closing`, an anchor, and delete what is
        old."""
        with self._lock:
            if self.trouble is None or self._write(None):
                self._write_refusals()
            chain, dirty, self._dirty = self._chain, self._dirty, False
        # Outside the lock: a slow disk must not hold those who write into its cache.
        if chain is not None and dirty:
            with self._noting_failure():
                chain.sync()
        if closing or self._monotonic() >= self._chores_at:
            self._chores_at = self._monotonic() + CHORES_S
            with self._noting_failure():
                self._chores()

    def _write_refusals(self) -> None:
        with self._refusals_lock:
            refusals, self._refusals = self._refusals, Counter()
        for (who, action, code, address), count in refusals.items():
            details = {"action": action, "count": count}
            self._write(Event("refuse", who, code or "refused", address, details=details))

    @contextmanager
    def _noting_failure(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            with self._lock:
                self._failed(error)

    def _chores(self) -> None:
        with self._lock:
            if self._chain is not None:
                self._chain.expire()
        self._expire_others()
        anchor = self.anchor()
        if anchor is None:
            return
        # The log goes elsewhere at most sites, and so does the anchor.
        logger.info("audit anchor", extra={"fields": {"anchor": _members(anchor)}})
        if self.options.anchors is not None:
            with open(self.options.anchors / ANCHORS_FILE, "a", opener=private_opener, encoding="ascii") as file:
                file.write(anchor.text() + "\n")

    def _expire_others(self) -> None:
        """Delete old files of chains that no process writes any more."""
        for path in chains_in(self.folder):
            if path == self.chain or expired_end(path, self.options.limits, time.time()) is None:
                continue
            lock = try_lock(path / "lock")
            if lock is not None:
                with suppress(Exception):  # a damaged chain stays as it is
                    other = Chain(path, lock, self.options.limits)
                    other.expire()
                    other.close()


def _tell_nobody(_writable: bool, _lost: int) -> None:
    pass


def _gap_event(gap: _Gap) -> Event:
    return Event("gap_in_trail", details={"since": utc(gap.since), "events": gap.lost, "why": gap.why})


def _members(anchor: Anchor) -> Mapping[str, Any]:
    members = ("chain", "count", "head", "time", "key", "signature")
    return {name: value for name in members if (value := getattr(anchor, name)) is not None}
