"""Answers to clients that have ended their side of the connection.

Such a client may wait for its answer, or may have gone. The system cannot tell which until it has sent something: a
client that has gone then resets the connection.
"""

from __future__ import annotations

import asyncio
from typing import Final

BEGINNING: Final = b"HTTP/1.1"  # of every answer, whatever it will be
FIRST_WAIT_S: Final = 0.1  # longer than a packet takes to a client and back
LONGER: Final = 4  # each wait is so many times the one before: the last byte is sent after nine minutes


class AnswerAhead:
    """A request's `transport` that sends the first bytes of the answer ahead, one at a time, and the rest when it is
    ready. At the second byte the system reports a client that has gone, and the real transport closes."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._sent = 0
        self._timer: asyncio.TimerHandle | None = None
        self._send_ahead()

    def write(self, data: bytes) -> None:
        """Send the next part of the answer; the first part leaves out the bytes that were sent ahead."""
        self._stop()
        self._transport.write(memoryview(data)[self._sent :])
        self._sent = 0

    def close(self) -> None:
        """Close the real transport when it has sent everything."""
        self._stop()
        self._transport.close()

    def is_closing(self) -> bool:
        """Whether the real transport is closed or closing."""
        return self._transport.is_closing()

    def _send_ahead(self) -> None:
        self._timer = None
        if self._transport.is_closing():
            return
        self._transport.write(BEGINNING[self._sent : self._sent + 1])
        self._sent += 1
        if self._sent < len(BEGINNING):
            self._timer = self._loop.call_later(FIRST_WAIT_S * LONGER ** (self._sent - 1), self._send_ahead)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
