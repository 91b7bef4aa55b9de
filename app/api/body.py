"""The bytes of a request's body as they were before their content coding (RFC 9110 8.4), within the same limits."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncGenerator, AsyncIterable, Iterator
from typing import Final

from fastapi import Request

from app.api.problems import READ_CODINGS
from app.errors import MalformedContentCoding, UnsupportedContentCoding
from app.security import BodyLimit, bounded_body, check_size, read_body

PIECE_BYTES: Final = 256 * 1024  # what is expanded before others have their turn: half a millisecond
# What zlib is to expect: a gzip member (RFC 1952), a zlib stream (RFC 1950), or what some call deflate (RFC 1951).
GZIP, ZLIB, RAW = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS
CODINGS: Final = {"gzip": GZIP, "x-gzip": GZIP, "deflate": ZLIB}
ZLIB_METHOD: Final = 8  # in the low half of a zlib stream's first byte, which no raw stream of a usual encoder has


async def body_of(request: Request, limit: BodyLimit) -> bytes | memoryview:
    """A body, whole; raises the errors of `body_chunks`, and ClientDisconnect."""
    if not _named(request):
        return await read_body(request, limit)
    return b"".join([chunk async for chunk in body_chunks(request, limit)])


def body_chunks(request: Request, limit: BodyLimit) -> AsyncGenerator[bytes, None]:
    """The chunks of a body.

    Raises the errors of `bounded_body`, InputTooLarge as soon as more than the limit's bytes come out of the coding
    too, UnsupportedContentCoding, and MalformedContentCoding.
    """
    coding = _named(request)
    chunks = bounded_body(request, limit)
    if not coding:
        return chunks
    if coding not in CODINGS:
        raise UnsupportedContentCoding(
            found="a Content-Encoding that is not read here",
            expected=READ_CODINGS,
            remedy="Send the bytes as they are.",
        )
    return _expanded(chunks, CODINGS[coding], limit)


def _named(request: Request) -> str:
    """The codings other than identity as they were named, in small letters."""
    named = request.headers.getlist("content-encoding")
    if not named:
        return ""
    every = (coding.strip().lower() for coding in ",".join(named).split(","))
    return ", ".join(coding for coding in every if coding not in ("", "identity"))


async def _expanded(chunks: AsyncIterable[bytes], window: int, limit: BodyLimit) -> AsyncGenerator[bytes, None]:
    expansion, size = _Expansion(window), 0
    async for chunk in chunks:
        for piece in expansion.pieces(chunk):
            size += len(piece)
            check_size(size, limit)
            yield piece
            await asyncio.sleep(0)
    expansion.finish()


class _Expansion:
    """Undoes a coding, piece by piece; members of gzip may follow one another (RFC 1952 2.2)."""

    def __init__(self, window: int) -> None:
        self._window = window
        self._begun = False
        self._decoder = zlib.decompressobj(window)

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        """What comes out of the next bytes; raises MalformedContentCoding."""
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
        """There is no more; raises MalformedContentCoding when there should be."""
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
