"""Multipart bodies, part by part, however they are cut on the way."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterable

import pytest

from app.api.uploads.file_buffer import CHUNK_BYTES, Received
from app.api.uploads.form_parts import parts_of
from app.errors import MalformedForm
from app.imaging.chunked import ChunkedFile, piece_of
from phantoms.series import zipped

TYPE = "multipart/form-data; boundary=x"
TEXT = b'--x\r\nContent-Disposition: form-data; name="explain"\r\n\r\ntrue\r\n'
FILE = b'--x\r\ncontent-disposition: form-data; name="files"; filename="a\\"b.dcm"\r\nContent-Type: x/y\r\n\r\n'
END = b"--x--\r\n"
# What a boundary begins with, over and over, and every byte there is.
TRICKY = b"\r\n--\r\n-\r\n" * 50 + bytes(range(256)) * 40


async def chunks(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def read(pieces: Iterable[bytes]) -> list[tuple[str, bool, bytes]]:
    return [(part.name, part.is_file, part.content.taken()) async for part in parts_of(TYPE, chunks(pieces))]


def cut(body: bytes, rng: random.Random) -> list[bytes]:
    places = sorted(rng.sample(range(len(body)), 40))
    return [body[a:b] for a, b in zip([0, *places], [*places, len(body)], strict=True)]


def test_parts_are_the_same_however_the_body_is_cut() -> None:
    body = TEXT + FILE + TRICKY + b"\r\n" + FILE + b"\r\n" + END
    expected = [("explain", False, b"true"), ("files", True, TRICKY), ("files", True, b"")]
    rng = random.Random(7)
    for pieces in ([body], [bytes([byte]) for byte in body], *(cut(body, rng) for _ in range(20))):
        assert asyncio.run(read(pieces)) == expected


def test_part_is_there_before_the_next_is_asked_for() -> None:
    asked: list[int] = []

    async def body() -> AsyncIterator[bytes]:
        for n, piece in enumerate((FILE + b"one\r\n", FILE + b"two\r\n", END)):
            asked.append(n)
            yield piece

    async def scenario() -> None:
        parts = parts_of(TYPE, body())
        first = await anext(parts)
        # The first ends where the second begins.
        assert (first.content.taken(), asked) == (b"one", [0, 1])
        await parts.aclose()

    asyncio.run(scenario())


@pytest.mark.parametrize("content_type", ["multipart/form-data", "multipart/form-data; boundary=" + "x" * 300])
def test_boundary_that_cannot_be_used(content_type: str) -> None:
    async def scenario() -> None:
        async for _ in parts_of(content_type, chunks([TEXT, END])):
            raise AssertionError("a part")

    with pytest.raises(MalformedForm):
        asyncio.run(scenario())


def test_what_is_received_is_held_in_large_pieces_and_given_back_once() -> None:
    received = Received()
    for _ in range(3 * CHUNK_BYTES):
        received.append(b"a")
    assert len(received) == 3 * CHUNK_BYTES
    assert list(received.files()) == [b"a" * 3 * CHUNK_BYTES]
    assert received.taken() == b""


def test_a_large_file_is_given_back_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.imaging.archive.LARGE_BYTES", 3 * CHUNK_BYTES)
    for size, whole in ((3 * CHUNK_BYTES, True), (3 * CHUNK_BYTES + 1, False)):
        received = Received()
        for start in range(0, size, 1000):
            received.append(b"a" * min(1000, size - start))
        (file,) = received.files()
        assert (len(file), not isinstance(file, ChunkedFile)) == (size, whole)
        assert piece_of(file, 0, size) == b"a" * size
        assert len(received) == 0


def test_archive_is_known_by_its_content_and_given_back_file_by_file() -> None:
    files = [bytes([n]) * 200_000 for n in range(3)]
    archive = zipped(files)
    received = Received()
    for start in range(0, len(archive), 3):
        received.append(archive[start : start + 3])
    assert list(received.files()) == files
