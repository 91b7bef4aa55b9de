"""One line of a chain: JSON whose last member is the sha256 of all bytes before it, and which names that of the line
before.

    {"seq":7,"time":"2026-11-30T09:40:01.123456Z","previous":"<64 digits>", ...,"hash":"<64 digits>"}

Who changes a line changes its hash, and then the next line no longer follows it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Self

ORIGIN: Final = "0" * 64  # what the first line of a chain follows
HASH_AT: Final = b',"hash":"'
END: Final = b'"}\n'
HASH_BYTES: Final = 64


class NotALine(ValueError):
    """Bytes that are no line of a chain; the text says why."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line that has been read: its number in the chain from 1, its time, whom it follows, its hash, all members."""

    seq: int
    time: str
    previous: str
    hash: str
    members: Mapping[str, Any]

    @classmethod
    def read(cls, raw: bytes) -> Self:
        """A line with its newline; raises NotALine unless its hash is that of its bytes."""
        head, at, tail = raw.rpartition(HASH_AT)
        if not at or len(tail) != HASH_BYTES + len(END) or not tail.endswith(END):
            raise NotALine("it is not a line of an audit trail")
        written = tail[:HASH_BYTES].decode("ascii", "replace")
        if hashlib.sha256(head).hexdigest() != written:
            raise NotALine("it was changed after it was written: its hash is that of other bytes")
        try:
            members = json.loads(head + b"}")
            line = cls(members["seq"], members["time"], members["previous"], written, members)
            line.moment()
        except (ValueError, KeyError, TypeError):
            raise NotALine("it lacks what every line has") from None
        if type(line.seq) is not int or not isinstance(line.previous, str):
            raise NotALine("it lacks what every line has")
        return line

    def moment(self) -> float:
        """Its time in seconds since 1970; raises ValueError."""
        return datetime.fromisoformat(self.time).timestamp()


def write_line(seq: int, now: float, previous: str, fields: Mapping[str, Any]) -> tuple[bytes, str]:
    """A line with its newline, and its hash. `now` is in seconds since 1970."""
    members = {"seq": seq, "time": utc(now), "previous": previous, **fields}
    head = json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")[:-1]
    digest = hashlib.sha256(head).hexdigest()
    return b"".join((head, HASH_AT, digest.encode(), END)), digest


def utc(seconds: float) -> str:
    """A time in seconds since 1970 as the lines write it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
