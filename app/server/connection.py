"""One HTTP/1.1 connection: puts the bytes from the socket where they belong, and leaves the rest to the protocol."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from app.server.http_protocol import HEADERS_BYTES, HttpProtocol
from app.server.whole_body import SCRATCH, ZEROS


class Connection(asyncio.BufferedProtocol):
    """One connection: chooses the buffer for the next bytes, and leaves the rest to the protocol."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._http = HttpProtocol(*args, **kwargs)
        self._ended = asyncio.Event()
        self._begun = b""
        self._once = False

    def begin_with(self, begun: bytes, *, once: bool) -> None:
        """Begin with the bytes that another worker has read. With `once`, close the connection after the first
        answer."""
        self._begun, self._once = begun, once

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start uvicorn's protocol, with the bytes from another worker if there are any."""
        self._http.connection_made(cast(asyncio.Transport, transport))
        if self._begun:
            self._http.data_received(self._begun)
            self._begun = b""  # somebody's image: kept no longer than the request
        if self._once:
            self._http.shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell uvicorn's protocol that the connection has closed."""
        self._http.connection_lost(exc)
        self._ended.set()

    async def ended(self) -> None:
        """Wait until the connection has closed."""
        await self._ended.wait()

    def eof_received(self) -> bool:
        """Whether to keep the connection open to answer a client that has ended its side."""
        return self._http.keeps_answering()

    def pause_writing(self) -> None:
        """Hold answers back while the socket takes no more."""
        self._http.pause_writing()

    def resume_writing(self) -> None:
        """Send answers again."""
        self._http.resume_writing()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002  # asyncio's interface
        """The buffer for the next bytes from the socket."""
        body = self._http.bypassing
        if body is not None:
            return body.rest
        return SCRATCH if self._http.within_body or self._http.faulty else SCRATCH[:HEADERS_BYTES]

    def buffer_updated(self, nbytes: int) -> None:
        """Take `nbytes` that the event loop has put into the buffer."""
        body = self._http.bypassing
        if body is None:
            self._http.piece_received(SCRATCH[:nbytes])
        else:
            self._http.body_received(body, nbytes)
        if body is None or not body.is_wanted:
            SCRATCH[:nbytes] = ZEROS[:nbytes]
