"""Who may call, and how much and how slowly they may send."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import AsyncGenerator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, Protocol

import numpy as np
from fastapi import Request
from starlette.requests import ClientDisconnect
from starlette.types import Scope

from app.errors import InputTooLarge, InvalidParameter, NotAuthorised, UploadTooSlow

MEGABYTE: Final = 1024 * 1024
MALFORMED: Final = "lungscope.malformed"  # in the application's state of the ASGI scope: an AnswerMalformed
WHOLE_BODY: Final = "lungscope.whole_body"  # extension of the ASGI scope: a WholeBody
REFUSE: Final = "lungscope.refuse"  # in the application's state of the ASGI scope: a Refuse
MIN_RATE: Final = 32 * 1024  # bytes per second on average: a slice of 0.5 MB in 16 s, a series of 64 MB in half an hour


@dataclass(frozen=True, slots=True)
class BodyLimit:
    """Most bytes of a body, the setting that says so, and the longest pause in seconds between two of its chunks."""

    max_bytes: int
    setting: str
    patience_s: float


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


class Refuse(Protocol):
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


def require_token(shown: str, token: str) -> None:
    """Raise NotAuthorised unless the token shown is the one configured."""
    # Compared in constant time: the time taken must not tell how much of a guess was right.
    if not hmac.compare_digest(shown.encode(), token.encode()):
        raise NotAuthorised(
            found="no token, or one that is not known here",
            expected="Authorization: Bearer <token>",
            remedy="Ask the operator of this service for a token.",
        )


def announced_bytes(request: Request) -> int:
    """Content-Length, 0 where none is given; raises InvalidParameter for one that is no number."""
    announced = request.headers.get("content-length", "0")
    if not announced.isdecimal():
        raise InvalidParameter(found="a Content-Length that is no number", expected="a number", remedy="Correct it.")
    return int(announced)


async def read_body(request: Request, limit: BodyLimit) -> bytes | memoryview:
    """A request's body, whole; raises the errors of `bounded_body`, and ClientDisconnect."""
    whole = _whole_body(request)
    if whole is None:
        return b"".join([chunk async for chunk in bounded_body(request, limit)])
    length = announced_bytes(request)
    check_size(length, limit)
    data = np.empty(length, np.uint8).data
    with whole.into(data):
        if not await _arrived(whole, limit):
            raise ClientDisconnect
    return data


async def has_left(request: Request) -> bool:
    """Whether the client of a request whose body was read has gone."""
    whole = _whole_body(request)
    # Starlette asks by a cancelled wait, which takes 0.05 ms.
    return await request.is_disconnected() if whole is None else whole.left


def _whole_body(request: Request) -> WholeBody | None:
    found: WholeBody | None = request.scope.get("extensions", {}).get(WHOLE_BODY)
    return found


async def _arrived(body: WholeBody, limit: BodyLimit) -> bool:
    now = asyncio.get_running_loop().time
    started = body.last_s = now()
    # What comes while it waits moves the deadline.
    while (deadline := min(body.last_s, started + body.received / MIN_RATE) + limit.patience_s) > now():
        with suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                return await body.arrived()
    raise _too_slow(limit)


async def bounded_body(request: Request, limit: BodyLimit) -> AsyncGenerator[bytes, None]:
    """The chunks of a request's body.

    Raises InputTooLarge at once when more is announced, or as soon as it comes; UploadTooSlow after a pause longer
    than the limit's patience, or when its patience is spent and less than MIN_RATE came on average. Time that the
    taker of the chunks needs does not count.
    """
    check_size(announced_bytes(request), limit)
    received, waited_s = 0, 0.0
    chunks = aiter(request.stream())
    while True:
        started = time.monotonic()
        try:
            async with asyncio.timeout(limit.patience_s):
                chunk = await anext(chunks)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise _too_slow(limit) from None
        waited_s += time.monotonic() - started
        received += len(chunk)
        _check_pace(received, waited_s, limit)
        yield chunk


def _check_pace(received: int, waited_s: float, limit: BodyLimit) -> None:
    check_size(received, limit)
    if waited_s > limit.patience_s + received / MIN_RATE:
        raise _too_slow(limit)


def check_size(found: int, limit: BodyLimit) -> None:
    """Raise InputTooLarge for a body of more bytes than the limit has."""
    if found > limit.max_bytes:
        raise InputTooLarge(
            found=f"a body of {found} bytes or more",
            expected=f"at most {limit.max_bytes} bytes",
            remedy=f"Send less at once; the operator can raise {limit.setting}.",
        )


def _too_slow(limit: BodyLimit) -> UploadTooSlow:
    return UploadTooSlow(
        found=f"a pause of {limit.patience_s:g} s, or less than {MIN_RATE // 1024} kB/s on average",
        expected="a body that keeps coming",
        remedy="Send it again over a better connection; the operator can raise LUNGSCOPE_UPLOAD_PATIENCE_SECONDS.",
    )
