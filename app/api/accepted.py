"""What an Accept header asks for (RFC 9110 12.5.1), as far as formats of results differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fastapi import Request
from python_multipart.multipart import parse_options_header

from app.errors import NotAcceptable

ANYTHING: Final = "*/*"


@dataclass(frozen=True, slots=True)
class Accepted:
    """Media types by weight; the inner type of multipart/related is taken for granted."""

    weights: dict[str, float]
    transfer_syntax: str | None = None

    def weight(self, media_type: str) -> float:
        """0 to 1, by the most specific range that fits; 0 when none does."""
        ranges = (media_type, media_type.split("/")[0] + "/*", ANYTHING)
        return next((self.weights[each] for each in ranges if each in self.weights), 0.0)

    def prefers(self, one: str, other: str) -> bool:
        """Whether `one` is asked for more than `other`."""
        return self.weight(one) > self.weight(other)

    def best(self, *offered: str) -> str:
        """The one asked for most, the first of equals; raises NotAcceptable."""
        best = max(offered, key=self.weight)
        if self.weight(best) == 0:
            raise NotAcceptable(
                found="an Accept header that excludes every format of the answer",
                expected=" or ".join(offered),
                remedy="Accept one of them.",
            )
        return best

    def require(self, media_type: str) -> None:
        """Raise NotAcceptable unless `media_type` will do."""
        self.best(media_type)


def accepted(request: Request) -> Accepted:
    """Read the header; without one, everything will do."""
    weights: dict[str, float] = {}
    transfer_syntax = None
    for part in ",".join(request.headers.getlist("accept")).split(","):
        kind, options = parse_options_header(part.strip())
        if kind:
            weights[kind.decode("latin-1").lower()] = _weight(options.get(b"q", b"1"))
            transfer_syntax = options.get(b"transfer-syntax", b"").decode("latin-1") or transfer_syntax
    return Accepted(weights or {ANYTHING: 1.0}, transfer_syntax)


def _weight(text: bytes) -> float:
    try:
        return min(max(float(text), 0.0), 1.0)
    except ValueError:
        return 0.0
