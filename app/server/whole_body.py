"""A request's body of known length, which the server receives into the reader's buffer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

PIECE_BYTES: Final = 256 * 1024  # one read of a body that is taken in pieces
# One for all connections: a selector's event loop fills it and tells of it in one go. It is wiped after each piece, or
# somebody's image would lie there until the next one comes.
SCRATCH: Final = memoryview(bytearray(PIECE_BYTES))
ZEROS: Final = memoryview(bytes(PIECE_BYTES))


class Body:
    """The body of one request, of `length` bytes (an `app.server.hooks.WholeBody`).

    The body stays in the socket until its reader asks for it; then this object calls `ask`. The connection reports each
    piece and the end.
    """

    def __init__(self, length: int, ask: Callable[[], None]) -> None:
        self.length = length
        self.received = 0  # those that went through the parser included
        self.last_s = 0.0
        self.left = False
        self.early: bytes | bytearray = b""  # the whole of one that went through the parser before it was asked for
        self._ask: Callable[[], None] | None = ask
        self._buffer: memoryview | None = None
        self._grown: Callable[[int], None] | None = None
        self._ended = asyncio.Event()

    @contextmanager
    def into(self, buffer: memoryview, grown: Callable[[int], None] = lambda _: None) -> Iterator[None]:
        """Receive into `buffer` within the block, and call `grown` with the number of bytes in each piece."""
        self._buffer = buffer
        self._grown = grown
        self.put(self.early)
        if self._ask is not None:
            self._ask()
        try:
            yield
        finally:
            self._buffer = self._grown = None

    def add(self, count: int) -> None:
        """Count the next bytes that have come into the buffer."""
        self.received += count
        if self._grown is not None:
            self._grown(count)

    async def arrived(self) -> bool:
        """Wait for the end of the body; True if it is complete, False if the client has gone."""
        await self._ended.wait()
        return self.received == self.length

    @property
    def is_wanted(self) -> bool:
        """Whether a reader has given a buffer for the body."""
        return self._buffer is not None

    @property
    def rest(self) -> memoryview:
        """The buffer for the bytes that have not come yet; a scratch buffer if nobody reads them."""
        if self._buffer is None:
            return SCRATCH[: self.length - self.received]
        return self._buffer[self.received :]

    def put(self, head: bytes | bytearray) -> None:
        """Copy the bytes that came before the reader asked into its buffer."""
        if self._buffer is not None and self._grown is not None:
            self._buffer[: len(head)] = head
            self._grown(len(head))

    def end(self) -> None:
        """Note that no more bytes will come."""
        self._ask = None  # the connection, which holds the request, which holds this
        self._ended.set()


def announced_bytes(headers: list[tuple[bytes, bytes]]) -> int:
    """Content-Length; 0 without one, or with Transfer-Encoding, which then says where the body ends."""
    given = dict(headers)
    if b"transfer-encoding" in given:
        return 0
    return int(given.get(b"content-length", 0))
