"""What one connection may take of the service, and all of them together."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ConnectionBounds:
    """Bytes and lines of a request's head, bytes of its target, and seconds: for a head, between two requests, and of
    patience with who sends or takes less than `min_rate` bytes a second; connections in all and of one address."""

    head_bytes: int = 64 * 1024
    head_lines: int = 100
    target_bytes: int = 8 * 1024
    head_s: float = 10.0
    idle_s: float = 5.0
    patience_s: float = 30.0
    min_rate: int = 32 * 1024
    connections: int = 1000
    connections_of_address: int = 500
