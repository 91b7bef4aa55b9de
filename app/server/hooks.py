"""What the shipped server and the application agree on beyond ASGI. All of it is optional: any ASGI server will do.

The application puts what it wants of the server into the state that its lifespan yields: WANTS_WHOLE_BODY,
EARLY_ANSWER, MALFORMED, PASS_ON. The server then offers WHOLE_BODY as an extension of a request's scope, asks two of
the others when the headers of a request are there, and MALFORMED about what is no request.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, Protocol, TypeAlias

# In the state that the application's lifespan yields.
WANTS_WHOLE_BODY: Final = "lungscope.wants_whole_body"  # True
EARLY_ANSWER: Final = "lungscope.early_answer"  # an AnswerEarly
MALFORMED: Final = "lungscope.malformed"  # an AnswerMalformed
PASS_ON: Final = "lungscope.pass_on"  # a PassOn
# An extension of the ASGI scope of a request.
WHOLE_BODY: Final = "lungscope.whole_body"  # a WholeBody
Scope: TypeAlias = MutableMapping[str, Any]  # an ASGI connection scope


class WholeBody(Protocol):
    """A body of known length, as an ASGI server offers it that receives it into one buffer: instead of by its chunks.

    `received` bytes have come, the last of them at `last_s` of the event loop's time. `left` is whether the client has
    gone, until the request is answered.
    """

    received: int
    last_s: float
    left: bool

    def into(self, buffer: memoryview) -> AbstractContextManager[None]:
        """Receive into `buffer`, as long as the body, within the block; what comes after the block is dropped."""
        ...

    async def arrived(self) -> bool:
        """Whether it is all there, once it is, or the client has gone. May be given up and called again."""
        ...


@dataclass(frozen=True, slots=True)
class EarlyAnswer:
    """A whole answer: its status, the lines of its headers as they are sent, Content-Length included, and its body."""

    status: int
    header_lines: bytes
    body: bytes


class AnswerEarly(Protocol):
    """What an application has an ASGI server ask before it takes a request with a body of known length."""

    def __call__(self, scope: Scope, length: int) -> EarlyAnswer | None:
        """The answer to the request of `scope`, if that is known before any of its `length` bytes were read; they are
        not wanted then. None for a request that is to take its way."""
        ...


class AnswerMalformed(Protocol):
    """What an application has an ASGI server ask about what is no request that could be passed on."""

    def __call__(self, status: HTTPStatus) -> EarlyAnswer:
        """The answer: 400 for what is no request, 501 for a method and 505 for a version that is not known."""
        ...


class PassOn(Protocol):
    """What an application has an ASGI server ask when the headers of a request are there."""

    def __call__(self, scope: Scope, connection: int, begun: memoryview) -> bool:
        """Whether the file descriptor `connection` went to another process, which answers the request of `scope`, of
        which `begun` was received, and all that follow it. The caller then closes its own descriptor in silence."""
        ...
