"""Anchors: how long a chain was at some time, and its last hash, to be stored where nobody who can write the trail can
write.

A chain alone does not show that its end was cut off, or that all of it was written anew. An anchor does. Signed, it
need not be kept from being changed.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Final

from app.audit.line import utc
from app.errors import MalformedInput
from app.signing import SigningKey, VerifyingKey

ANCHORS_FILE: Final = "anchors.jsonl"


@dataclass(frozen=True, slots=True)
class Anchor:
    """At `time`, `chain` had `count` lines, and the hash of the last was `head`."""

    chain: str
    count: int
    head: str
    time: str
    key: str | None = None
    signature: str | None = None

    @classmethod
    def of(cls, chain: str, count: int, head: str, now: float, key: SigningKey | None) -> Anchor:
        """An anchor of now, in seconds since 1970, signed if there is a key."""
        if key is None:
            return cls(chain, count, head, utc(now))
        unsigned = cls(chain, count, head, utc(now), key.name)
        signature = base64.b64encode(key.sign(unsigned._signed_bytes())).decode("ascii")
        return cls(chain, count, head, unsigned.time, key.name, signature)

    def text(self) -> str:
        """One line of JSON, without newline."""
        members = {name: value for name, value in asdict(self).items() if value is not None}
        return json.dumps(members, separators=(",", ":"))

    def is_signed_by(self, key: VerifyingKey) -> bool:
        """Whether its signature is this key's."""
        try:
            signature = base64.b64decode(self.signature or "", validate=True)
        except binascii.Error:
            return False
        return key.has_signed(self._signed_bytes(), signature)

    def _signed_bytes(self) -> bytes:
        members = {name: value for name, value in asdict(self).items() if name != "signature"}
        return b"lungscope audit anchor\n" + json.dumps(members, sort_keys=True, separators=(",", ":")).encode()


def read_anchors(lines: Iterable[str]) -> Iterator[Anchor]:
    """The anchors in lines of JSON, as a file or a log has them; raises MalformedInput naming a line without one."""
    for number, text in enumerate(lines, start=1):
        if not text.strip():
            continue
        try:
            members = json.loads(text)
            anchor = Anchor(**members.get("anchor", members))
            if type(anchor.count) is not int:
                raise TypeError
        except (ValueError, TypeError, AttributeError):
            raise MalformedInput(
                found=f"line {number} of the anchors, which is none",
                expected="the lines that `lungscope audit anchor` prints",
                remedy="Give a file of anchors alone.",
            ) from None
        yield anchor
