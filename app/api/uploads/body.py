"""A request's body, whole or in chunks, after its content coding is undone (RFC 9110 8.4); limits its size and
pauses."""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import AsyncGenerator, AsyncIterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import numpy as np
from fastapi import Request
from starlette.requests import ClientDisconnect

from app.api.problems import READ_CODINGS
from app.errors import (
    InputTooLarge,
    InvalidParameter,
    MalformedContentCoding,
    UnsupportedContentCoding,
    UploadTooSlow,
)
from app.inference.arrivals import Arrival, Arrivals
from app.server.hooks import WHOLE_BODY, WholeBody

MIN_RATE: Final = 32 * 1024  # bytes per second on average: a slice of 0.5 MB in 16 s, a series of 64 MB in half an hour
PIECE_BYTES: Final = 256 * 1024  # what is expanded before others have their turn: half a millisecond
# What zlib is to expect: a gzip member (RFC 1952), a zlib stream (RFC 1950), or what some call deflate (RFC 1951).
GZIP, ZLIB, RAW = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS
CODINGS: Final = {"gzip": GZIP, "x-gzip": GZIP, "deflate": ZLIB}
ZLIB_METHOD: Final = 8  # in the low half of a zlib stream's first byte, which no raw stream of a usual encoder has


@dataclass(frozen=True, slots=True)
class BodyLimit:
    """The most bytes of a body, the setting that says so, the longest pause in seconds between two of its chunks, the
    least bytes per second, and the bodies with which it shares memory. A body on its way to the disk shares none."""

    max_bytes: int
    setting: str
    patience_s: float
    min_rate: int = MIN_RATE
    arrivals: Arrivals = field(default_factory=Arrivals)


def announced_bytes(request: Request) -> int:
    """Content-Length, 0 without one; raises InvalidParameter when it is not a number."""
    announced = request.headers.get("content-length", "0")
    if not announced.isdecimal():
        raise InvalidParameter(found="a Content-Length that is no number", expected="a number", remedy="Correct it.")
    return int(announced)


async def read_body(request: Request, limit: BodyLimit, arrival: Arrival) -> bytes | memoryview:
    """A request's body as one piece; raises the errors of `bounded_body`, and ClientDisconnect."""
    whole = _whole_body(request)
    if whole is None:
        return b"".join([chunk async for chunk in bounded_body(request, limit, arrival)])
    length = announced_bytes(request)
    check_size(length, limit)
    data = np.empty(length, np.uint8).data
    with whole.into(data, arrival.grow):
        if not await _arrived(whole, limit, arrival):
            raise ClientDisconnect
    return data


async def has_left(request: Request) -> bool:
    """Whether the client has disconnected after its body was read."""
    whole = _whole_body(request)
    # Starlette asks by a cancelled wait, which takes 0.05 ms.
    return await request.is_disconnected() if whole is None else whole.left


def _whole_body(request: Request) -> WholeBody | None:
    found: WholeBody | None = request.scope.get("extensions", {}).get(WHOLE_BODY)
    return found


async def _arrived(body: WholeBody, limit: BodyLimit, arrival: Arrival) -> bool:
    now = asyncio.get_running_loop().time
    started = body.last_s = now()
    # What comes while it waits moves the deadline.
    while (deadline := min(body.last_s, started + body.received / limit.min_rate) + limit.patience_s) > now():
        arrival.require()
        with suppress(TimeoutError):
            async with asyncio.timeout_at(deadline) as timeout:
                arrival.stop = partial(timeout.reschedule, 0.0)
                try:
                    return await body.arrived()
                finally:
                    arrival.stop = _nothing
    arrival.require()
    raise _too_slow(limit)


async def bounded_body(
    request: Request, limit: BodyLimit, arrival: Arrival | None = None, *, counted: bool = True
) -> AsyncGenerator[bytes, None]:
    """The chunks of a request's body, before its content coding is undone, which `arrival` counts where they are
    `counted`.

    Raises InputTooLarge as soon as Content-Length or the bytes received exceed the limit, and Overloaded when others
    need the memory. Raises UploadTooSlow after a pause longer than the limit's patience, and for an upload that took
    longer than that and came at less than the least rate on average. The time that the caller spends on a chunk does
    not count.
    """
    check_size(announced_bytes(request), limit)
    arrival = arrival or Arrival(lambda _arrival, _count: None, 0.0)
    received, waited_s = 0, 0.0
    chunks = aiter(request.stream())
    while True:
        started = time.monotonic()
        try:
            async with asyncio.timeout(limit.patience_s) as timeout:
                arrival.stop = partial(timeout.reschedule, 0.0)
                chunk = await anext(chunks)
        except StopAsyncIteration:
            return
        except TimeoutError:
            arrival.require()
            raise _too_slow(limit) from None
        finally:
            arrival.stop = _nothing
        waited_s += time.monotonic() - started
        received += len(chunk)
        if counted:
            arrival.grow(len(chunk))
        arrival.require()
        _check_pace(received, waited_s, limit)
        yield chunk


def _nothing() -> None:
    pass


def _check_pace(received: int, waited_s: float, limit: BodyLimit) -> None:
    check_size(received, limit)
    if waited_s > limit.patience_s + received / limit.min_rate:
        raise _too_slow(limit)


def check_size(found: int, limit: BodyLimit) -> None:
    """Raise InputTooLarge for a body of more bytes than the limit allows."""
    if found > limit.max_bytes:
        raise InputTooLarge(
            found=f"a body of {found} bytes or more",
            expected=f"at most {limit.max_bytes} bytes",
            remedy=f"Send less at once; the operator can raise {limit.setting}.",
        )


def _too_slow(limit: BodyLimit) -> UploadTooSlow:
    return UploadTooSlow(
        found=f"a pause of {limit.patience_s:g} s, or less than {limit.min_rate // 1024} kB/s on average",
        expected="a body that keeps coming",
        remedy="Send it again over a better connection; the operator can raise LUNGSCOPE_UPLOAD_PATIENCE_SECONDS.",
    )


def is_form(content_type: str) -> bool:
    """Whether a Content-Type is that of a form."""
    return content_type.strip().lower().startswith("multipart/")


async def body_of(request: Request, limit: BodyLimit) -> bytes | memoryview:
    """A request's body as one piece, without its content coding; raises the errors of `body_chunks`, and
    ClientDisconnect."""
    with limit.arrivals.begin() as arrival:
        if not _named(request):
            return await read_body(request, limit, arrival)
        return b"".join([chunk async for chunk in body_chunks(request, limit, arrival)])


def body_chunks(request: Request, limit: BodyLimit, arrival: Arrival | None = None) -> AsyncGenerator[bytes, None]:
    """The chunks of a request's body, without its content coding, which `arrival` counts.

    Raises the errors of `bounded_body`, InputTooLarge as soon as the decoded bytes exceed the limit too,
    UnsupportedContentCoding, and MalformedContentCoding.
    """
    coding = _named(request)
    if not coding:
        return bounded_body(request, limit, arrival)
    if coding not in CODINGS:
        raise UnsupportedContentCoding(
            found="a Content-Encoding that this service cannot decode",
            expected=READ_CODINGS,
            remedy="Send the bytes as they are.",
        )
    # What it becomes takes the memory.
    return _expanded(bounded_body(request, limit, arrival, counted=False), CODINGS[coding], limit, arrival)


def _named(request: Request) -> str:
    """The content codings of a request other than identity, in small letters."""
    named = request.headers.getlist("content-encoding")
    if not named:
        return ""
    every = (coding.strip().lower() for coding in ",".join(named).split(","))
    return ", ".join(coding for coding in every if coding not in ("", "identity"))


async def _expanded(
    chunks: AsyncIterable[bytes], window: int, limit: BodyLimit, arrival: Arrival | None
) -> AsyncGenerator[bytes, None]:
    expansion, size = _Expansion(window), 0
    async for chunk in chunks:
        for piece in expansion.pieces(chunk):
            size += len(piece)
            check_size(size, limit)
            if arrival is not None:
                arrival.grow(len(piece))
                arrival.require()
            yield piece
            await asyncio.sleep(0)
    expansion.finish()


class _Expansion:
    """Undoes a content coding, piece by piece. A gzip body may have several members (RFC 1952 2.2)."""

    def __init__(self, window: int) -> None:
        self._window = window
        self._begun = False
        self._decoder = zlib.decompressobj(window)

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        """The decoded bytes of the next piece; raises MalformedContentCoding."""
        rest, more = chunk, False
        while rest or more:
            if rest:
                self._begin(rest)
            try:
                piece = self._decoder.decompress(rest, PIECE_BYTES)
            except zlib.error:
                raise _malformed("a body that is not in the coding that Content-Encoding names") from None
            rest = self._decoder.unconsumed_tail or self._decoder.unused_data
            more = len(piece) == PIECE_BYTES  # all of `rest` may be read, and not all that comes out of it
            if piece:
                yield piece

    def finish(self) -> None:
        """End the body; raises MalformedContentCoding when it is not complete."""
        if self._begun and not self._decoder.eof:
            raise _malformed("a body that ends before its content coding does")

    def _begin(self, data: bytes) -> None:
        if not self._begun and self._window == ZLIB and data[0] & 0x0F != ZLIB_METHOD:
            self._decoder = zlib.decompressobj(RAW)
        elif self._decoder.eof:
            if self._window != GZIP:
                raise _malformed("bytes after the end of the content coding")
            self._decoder = zlib.decompressobj(GZIP)
        self._begun = True


def _malformed(found: str) -> MalformedContentCoding:
    return MalformedContentCoding(
        found=found, expected=READ_CODINGS, remedy="Send it again, or send the bytes as they are."
    )
