"""A body of known length, received into the buffer of whoever asks for it."""

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
    """The body of one request, of `length` bytes, which stays in the socket until it is asked for by `ask`; see
    `app.server.hooks.WholeBody`. It is told of each piece and of the end of the connection."""

    def __init__(self, length: int, ask: Callable[[], None]) -> None:
        self.length = length
        self.received = 0  # those that went through the parser included
        self.last_s = 0.0
        self.left = False
        self.early: bytes | bytearray = b""  # the whole of one that went through the parser before it was asked for
        self._ask: Callable[[], None] | None = ask
        self._buffer: memoryview | None = None
        self._ended = asyncio.Event()

    @contextmanager
    def into(self, buffer: memoryview) -> Iterator[None]:
        """Receive into `buffer` within the block."""
        self._buffer = buffer
        self.put(self.early)
        if self._ask is not None:
            self._ask()
        try:
            yield
        finally:
            self._buffer = None

    async def arrived(self) -> bool:
        """Whether it is all there, once it is, or the client has gone."""
        await self._ended.wait()
        return self.received == self.length

    @property
    def is_wanted(self) -> bool:
        """Whether it goes into a buffer of its own."""
        return self._buffer is not None

    @property
    def rest(self) -> memoryview:
        """Where what was not received yet goes; nowhere, if nobody wants it."""
        if self._buffer is None:
            return SCRATCH[: self.length - self.received]
        return self._buffer[self.received :]

    def put(self, head: bytes | bytearray) -> None:
        """What was received before it was asked for."""
        if self._buffer is not None:
            self._buffer[: len(head)] = head

    def end(self) -> None:
        """No more will come."""
        self._ask = None  # the connection, which holds the request, which holds this
        self._ended.set()


def announced_bytes(headers: list[tuple[bytes, bytes]]) -> int:
    """Content-Length; 0 where it is not given, or where something else says where the body ends."""
    given = dict(headers)
    if b"transfer-encoding" in given:
        return 0
    return int(given.get(b"content-length", 0))
