"""The interface between the shipped server and the application beyond ASGI. Each hook is optional: any ASGI server will
do.

The application puts its wishes into the state of its ASGI lifespan: WANTS_WHOLE_BODY, EARLY_ANSWER, MALFORMED, PASS_ON,
CONNECTIONS, PULSE. The server then adds WHOLE_BODY to the extensions of a request's scope. It calls PASS_ON and
EARLY_ANSWER when it has read the headers of a request, and MALFORMED when it cannot read a request, or reads no more of
it.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, Protocol, TypeAlias

# In the state that the application's lifespan yields.
WANTS_WHOLE_BODY: Final = "lungscope.wants_whole_body"  # True
EARLY_ANSWER: Final = "lungscope.early_answer"  # an AnswerEarly
MALFORMED: Final = "lungscope.malformed"  # an AnswerMalformed
PASS_ON: Final = "lungscope.pass_on"  # a PassOn
CONNECTIONS: Final = "lungscope.connections"  # an app.server.connections.Connections: the bounds, and what is open
PULSE: Final = "lungscope.pulse"  # an app.server.pulse.Pulse
# An extension of the ASGI scope of a request.
WHOLE_BODY: Final = "lungscope.whole_body"  # a WholeBody
Scope: TypeAlias = MutableMapping[str, Any]  # an ASGI connection scope


class WholeBody(Protocol):
    """A request's body of known length, which the server can receive into one buffer instead of in chunks.

    `received` is the number of bytes that have come, and `last_s` the event loop's time at the last of them. `left` is
    true when the client disconnects before its request is answered.
    """

    received: int
    last_s: float
    left: bool

    def into(self, buffer: memoryview, grown: Callable[[int], None]) -> AbstractContextManager[None]:
        """Within the block, receive into `buffer`, which is as long as the body, and call `grown` with the number of
        bytes in each piece; the server drops bytes that come after the block."""
        ...

    async def arrived(self) -> bool:
        """Wait for the end of the body; True if it is complete, False if the client has gone. May be cancelled and
        called again."""
        ...


@dataclass(frozen=True, slots=True)
class EarlyAnswer:
    """A whole answer: status, header lines as they are sent (with Content-Length), and body."""

    status: int
    header_lines: bytes
    body: bytes


class AnswerEarly(Protocol):
    """The hook that the server calls before it takes a request with a body of known length."""

    def __call__(self, scope: Scope, length: int) -> EarlyAnswer | None:
        """The answer to the request of `scope` if it needs none of the `length` bytes of the body, which the server
        then drops. None for an ordinary request."""
        ...


class AnswerMalformed(Protocol):
    """The hook that the server calls for bytes that it cannot pass on as a request."""

    def __call__(self, status: HTTPStatus) -> EarlyAnswer:
        """The answer with `status`: 400 for a malformed request, 408 for one that comes too slowly, 414 for too long a
        target, 429 and 503 for a connection too many, 431 for too many headers, 501 for an unknown method, 505 for an
        unknown version."""
        ...


class PassOn(Protocol):
    """The hook that the server calls when it has read the headers of a request."""

    def __call__(self, scope: Scope, connection: int, begun: memoryview) -> bool:
        """Pass the file descriptor `connection` to another worker, with the bytes `begun` read from it; whether that
        was done. The other worker answers the request of `scope` and all that follow, and the caller closes its own
        descriptor without a word."""
        ...
