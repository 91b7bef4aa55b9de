"""The least a server can do: read a body by its Content-Length, answer 200. What a generator reaches here is its own
ceiling. `python -m benchmarks.serving.trivial PORT`
"""

from __future__ import annotations

import asyncio
import sys
from typing import Final, cast

import uvloop

ANSWER: Final = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
LENGTH: Final = b"content-length:"


class Trivial(asyncio.Protocol):
    """Counts bytes and keeps none but a head's."""

    def __init__(self) -> None:
        self._head = b""
        self._left = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        # uvloop's transports are no asyncio.Transport to isinstance.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Answer once all of a request is there; the next comes after that."""
        if self._left:
            self._left -= len(data)
        else:
            self._head += data
            end = self._head.find(b"\r\n\r\n")
            if end < 0:
                return
            self._left = content_length(self._head[:end]) - (len(self._head) - end - 4)
            self._head = b""
        if self._left <= 0:
            self._left = 0
            self._transport.write(ANSWER)


def content_length(head: bytes) -> int:
    """Of a request's head, 0 when it does not say."""
    for line in head.lower().split(b"\r\n"):
        if line.startswith(LENGTH):
            return int(line[len(LENGTH) :])
    return 0


async def serve(port: int) -> None:
    """Until ended."""
    server = await asyncio.get_running_loop().create_server(Trivial, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
