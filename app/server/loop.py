"""The event loop of a worker, whose server also serves connections that another worker accepted."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from app.server.connection import Connection

if TYPE_CHECKING:
    _Mixed = asyncio.SelectorEventLoop
else:
    _Mixed = object


class _TakesOver(_Mixed):
    """An event loop that is an `app.server.sharing.TakesOver`; uvicorn's setting `loop` names it, and `http` names
    `Connection`.

    uvicorn does not show its server to the application. It asks the event loop to listen, and this loop keeps the
    server.
    """

    _server: asyncio.Server | None = None
    _connect: Callable[[], Connection]

    async def create_server(self, protocol_factory: Any, *args: Any, **kwargs: Any) -> Any:
        """Listen as the loop does, and remember the server."""
        self._server = await super().create_server(protocol_factory, *args, **kwargs)
        self._connect = protocol_factory
        return self._server

    def accepts(self) -> bool:
        """Whether the server takes new connections."""
        return self._server is not None and self._server.is_serving()

    async def take_over(self, accepted: socket.socket, begun: bytes) -> None:
        """Serve a connection to its end, beginning with the bytes `begun`. Serve only one request when the server takes
        no new connections any more."""
        connection = self._connect()
        connection.begin_with(begun, once=not self.accepts())
        del begun  # this waits for the end of the connection
        try:
            await self.connect_accepted_socket(lambda: connection, accepted)
        except OSError:  # the client has gone meanwhile
            accepted.close()
            return
        await connection.ended()


class AsyncioLoop(_TakesOver, asyncio.SelectorEventLoop):
    """On Python's own event loop."""


if TYPE_CHECKING:
    ServerLoop = AsyncioLoop
else:
    try:
        import uvloop
    except ImportError:  # not made for every system
        ServerLoop = AsyncioLoop
    else:

        class ServerLoop(_TakesOver, uvloop.Loop):
            """On uvloop's event loop."""
