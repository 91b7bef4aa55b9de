"""The event loop of a serving process: its server also takes over connections that another process accepted."""

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
    """An `app.server.sharing.TakesOver`, to be named as uvicorn's `loop` beside `Connection` as its `http`.

    uvicorn shows the application nothing of its server, but has the event loop listen, with what makes a connection.
    """

    _server: asyncio.Server | None = None
    _connect: Callable[[], Connection]

    async def create_server(self, protocol_factory: Any, *args: Any, **kwargs: Any) -> Any:
        """As the loop it is, and remember the server."""
        self._server = await super().create_server(protocol_factory, *args, **kwargs)
        self._connect = protocol_factory
        return self._server

    def accepts(self) -> bool:
        """Whether the server takes new connections."""
        return self._server is not None and self._server.is_serving()

    async def take_over(self, accepted: socket.socket, begun: bytes) -> None:
        """Serve a connection, of which `begun` was received, to its end. One that comes when the server does not take
        new ones any more ends after its first answer."""
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
    """On Python's own."""


if TYPE_CHECKING:
    ServerLoop = AsyncioLoop
else:
    try:
        import uvloop
    except ImportError:  # not made for every system
        ServerLoop = AsyncioLoop
    else:

        class ServerLoop(_TakesOver, uvloop.Loop):
            """On uvloop."""
