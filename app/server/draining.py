"""How fast a client takes its answers."""

from __future__ import annotations

from typing import Final

TAKEN_BETWEEN: Final = 48 * 1024  # from when a transport holds its writer back until it lets it go on


class Draining:
    """The bytes that wait in a transport for the client to take them, looked at from time to time."""

    def __init__(self) -> None:
        self.since_s: float | None = None
        self.taken_bytes = 0
        self._last = 0

    def look(self, waiting_bytes: int, now_s: float) -> bool:
        """Note how many bytes wait now; whether any do."""
        if not waiting_bytes:
            self.since_s = None
            return False
        if self.since_s is None:
            self.since_s, self.taken_bytes, self._last = now_s, 0, waiting_bytes
        self.taken_bytes += max(0, self._last - waiting_bytes)
        self._last = waiting_bytes
        return True

    def went_on(self) -> None:
        """Note that the transport takes more: what waited was taken, and is perhaps replaced already."""
        self.taken_bytes += TAKEN_BETWEEN
