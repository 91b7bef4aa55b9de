"""An answer to a client that has ended its side of the connection, and may be gone or waiting.

The system says the same of both, until it is sent something: then it says of one that is gone that there is nobody.
"""

from __future__ import annotations

import asyncio
from typing import Final

BEGINNING: Final = b"HTTP/1.1"  # of every answer, whatever it will be
FIRST_WAIT_S: Final = 0.1  # longer than a packet takes to a client and back
LONGER: Final = 4  # each wait is so many times the one before: the last byte is sent after nine minutes


class AnswerAhead:
    """Stands in for the `transport` of a request: sends the beginning of its answer ahead, a byte at a time, and the
    rest once that is there. At the second byte the transport learns that a client is gone, and closes itself."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._sent = 0
        self._timer: asyncio.TimerHandle | None = None
        self._send_ahead()

    def write(self, data: bytes) -> None:
        """Send what follows, of an answer from its beginning on."""
        self._stop()
        self._transport.write(memoryview(data)[self._sent :])
        self._sent = 0

    def close(self) -> None:
        """Close the transport once all is sent."""
        self._stop()
        self._transport.close()

    def is_closing(self) -> bool:
        """Whether the transport is closed, or will be."""
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
