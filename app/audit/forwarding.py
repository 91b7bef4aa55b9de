"""Sends the lines of a chain to a syslog collector, each after the other, from where the last sender stopped.

It reads them from the chain's files: while the collector is away nothing is lost, and nothing waits in memory. What
was sent just before a connection broke may be sent twice.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from app.audit.atna import MESSAGE_ID, audit_message
from app.audit.chain import files_of
from app.audit.line import Line, NotALine
from app.audit.syslog import Header, SyslogSender
from app.private_files import PRIVATE_FILE

SENT_FILE: Final = "sent.json"
TICK_S: Final = 1.0
MAX_AT_ONCE: Final = 1000  # lines between two notes of what was sent
MAX_PAUSE_TICKS: Final = 60
Format = Literal["dicom", "json"]
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """Up to where a chain was sent: a file, and its bytes."""

    file: str = ""
    offset: int = 0


class Forwarding:
    """Follows the chain of this process. `told` is called with the number of lines whenever some were sent."""

    def __init__(
        self,
        chain: Callable[[], Path | None],
        sender: SyslogSender,
        header: Header,
        written: Format,
        told: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._chain = chain
        self._sender = sender
        self._header = header
        self._written = written
        self._told = told
        self._failures = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="audit forwarding", daemon=True)

    def start(self) -> None:
        """Start the thread that sends."""
        self._thread.start()

    def close(self) -> None:
        """Send what is there, once, and stop."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self.step()
        self._sender.close()

    def step(self) -> bool:
        """Send what is new; whether all of it was sent."""
        chain = self._chain()
        if chain is None:
            return True
        try:
            while self._send_some(chain):
                pass
        except OSError as error:
            if not self._failures:
                logger.warning("the audit collector cannot be reached: %s", error.strerror or type(error).__name__)
            self._failures += 1
            return False
        if self._failures:
            logger.warning("the audit collector is reached again")
        self._failures = 0
        return True

    def _send_some(self, chain: Path) -> bool:
        """Send at most MAX_AT_ONCE lines, and note which were sent; whether there may be more."""
        place = _sent(chain)
        sent = 0
        try:
            for line, behind in _new_lines(chain, place):
                if line is not None:
                    self._sender.send(self._message(line))
                    sent += 1
                place = behind
                if sent >= MAX_AT_ONCE:
                    return True
        finally:
            if sent:
                _note(chain, place)
                self._told(sent)
        return False

    def _message(self, line: Line) -> bytes:
        if self._written == "dicom":
            return self._header.message(line.time, MESSAGE_ID, audit_message(line.members, self._header.host))
        content = json.dumps({**line.members, "hash": line.hash}, ensure_ascii=False, separators=(",", ":"))
        return self._header.message(line.time, "audit", content.encode("utf-8", "replace"))

    def _run(self) -> None:
        while not self._stop.wait(TICK_S * min(MAX_PAUSE_TICKS, 2 ** min(self._failures, 16))):
            self.step()


def _new_lines(chain: Path, place: Place) -> Iterator[tuple[Line | None, Place]]:
    """The lines behind a place, each with the place behind it; None for what is no line, which `verify` tells of."""
    for path in files_of(chain):
        if path.name < place.file:
            continue
        offset = place.offset if path.name == place.file else 0
        with path.open("rb") as file:
            file.seek(offset)
            for raw in file:
                if not raw.endswith(b"\n"):
                    break
                offset += len(raw)
                yield _read(raw), Place(path.name, offset)


def _read(raw: bytes) -> Line | None:
    try:
        return Line.read(raw)
    except NotALine:
        return None


def _sent(chain: Path) -> Place:
    """What was noted; the beginning where that is damaged: all once more, as twice is better than never."""
    try:
        noted = json.loads((chain / SENT_FILE).read_bytes())
        place = Place(str(noted["file"]), int(noted["offset"]))
    except (FileNotFoundError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return Place()
    return place if _is_behind_a_line(chain, place) else Place()


def _is_behind_a_line(chain: Path, place: Place) -> bool:
    """Whether a place is one that a sender may have noted; that of a file which has expired since lies before all."""
    files = {path.name: path for path in files_of(chain)}
    if place.file not in files:
        return bool(files) and place.file < min(files)
    if place.offset <= 0:
        return place.offset == 0
    with files[place.file].open("rb") as file:
        file.seek(place.offset - 1)
        return file.read(1) == b"\n"


def _note(chain: Path, place: Place) -> None:
    made = chain / f".{SENT_FILE}"
    with contextlib.suppress(OSError):  # a full disk: some are sent twice
        made.write_text(json.dumps({"file": place.file, "offset": place.offset}), "ascii")
        made.chmod(PRIVATE_FILE)
        made.replace(chain / SENT_FILE)
