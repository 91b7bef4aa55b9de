"""Multipart bodies, part by part, however they are cut on the way."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncIterator, Iterable

import pytest

from app.api.uploads.file_buffer import CHUNK_BYTES, FileBuffer
from app.api.uploads.form_parts import MAX_FIELD_BYTES, MAX_FIELDS, Field, File, form_of_one, parts_of
from app.api.uploads.multipart import MAX_HEADERS
from app.errors import FileMissing, FormTooLarge, InputError, MalformedForm
from app.imaging.chunked import ChunkedFile, piece_of
from phantoms.series import zipped

TYPE = "multipart/form-data; boundary=x"
TEXT = b'--x\r\nContent-Disposition: form-data; name="explain"\r\n\r\ntrue\r\n'
FILE = b'--x\r\ncontent-disposition: form-data; name="files"; filename="a\\"b.dcm"\r\nContent-Type: x/y\r\n\r\n'
END = b"--x--\r\n"
PARAMETERS = ("roi", "explain")
# What a boundary begins with, over and over, and every byte there is.
TRICKY = b"\r\n--\r\n-\r\n" * 50 + bytes(range(256)) * 40


async def chunks(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def read(pieces: Iterable[bytes]) -> list[tuple[str, str] | bytes]:
    """Parameters, and the content of files."""
    parts = [part async for part in parts_of(TYPE, chunks(pieces), PARAMETERS)]
    return [(part.name, part.text) if isinstance(part, Field) else part.content.taken() for part in parts]


def cut(body: bytes, rng: random.Random) -> list[bytes]:
    places = sorted(rng.sample(range(len(body)), 40))
    return [body[a:b] for a, b in zip([0, *places], [*places, len(body)], strict=True)]


def test_parts_are_the_same_however_the_body_is_cut() -> None:
    body = TEXT + FILE + TRICKY + b"\r\n" + FILE + b"\r\n" + END
    expected = [("explain", "true"), TRICKY, b""]
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
        parts = parts_of(TYPE, body(), PARAMETERS)
        first = await anext(parts)
        assert isinstance(first, File)
        # The first ends where the second begins.
        assert (first.content.taken(), asked) == (b"one", [0, 1])
        await parts.aclose()

    asyncio.run(scenario())


@pytest.mark.parametrize("content_type", ["multipart/form-data", "multipart/form-data; boundary=" + "x" * 300])
def test_boundary_that_cannot_be_used(content_type: str) -> None:
    async def scenario() -> None:
        async for _ in parts_of(content_type, chunks([TEXT, END]), PARAMETERS):
            raise AssertionError("a part")

    with pytest.raises(MalformedForm):
        asyncio.run(scenario())


def part(disposition: str, content: bytes, *headers: str) -> bytes:
    lines = [f"--x\r\nContent-Disposition: {disposition}", *headers, "", ""]
    return "\r\n".join(lines).encode() + content + b"\r\n"


NUL = b"\0\1\2"
LONG = b"a" * (MAX_FIELD_BYTES + 1)


@pytest.mark.parametrize(
    ("sent", "file"),
    [
        pytest.param(part('form-data; name="file"; filename="a.dcm"', b"text"), True, id="file name"),
        pytest.param(part('form-data; name="roi"; filename="a.txt"', b"1,1"), True, id="file name of a parameter"),
        pytest.param(part('form-data; name="file"; filename=""', b""), True, id="empty file name"),
        pytest.param(part("form-data; name=file; filename=a b.dcm", NUL), True, id="no quotes"),
        pytest.param(part("form-data; name=\"file\"; filename*=UTF-8''a%20b.dcm", NUL), True, id="RFC 5987"),
        pytest.param(part("form-data; name=\"a\"; filename*=UTF-8''a", b"text"), True, id="RFC 5987, text"),
        pytest.param(part('form-data; name="file"', NUL, "Content-Type: application/dicom"), True, id="type"),
        pytest.param(part('form-data; name="image"', b"{}", "content-TYPE:image/png"), True, id="type, any name"),
        pytest.param(part('form-data; name="file"', NUL), True, id="no text"),
        pytest.param(part('form-data; name="file"', NUL, "Content-Type: text/plain"), True, id="no text, as text"),
        pytest.param(part('form-data; name="file"', LONG), True, id="long text"),
        pytest.param(part('form-data;\r\n name="file";\r\n\tfilename="a"', NUL), True, id="folded"),
        pytest.param(part('form-data; name="roi"', b"1,1"), False, id="parameter"),
        pytest.param(
            part('form-data; name="roi"', b"1,1", "Content-Type: text/plain; charset=UTF-8"), False, id="text"
        ),
        pytest.param(part('form-data; name="roi"', b"1,1", "Content-Type: application/json"), False, id="typed"),
        pytest.param(part('form-data; name="roi"', b"1", "Content-Transfer-Encoding: binary"), False, id="binary"),
        pytest.param(part('form-data; name="colour"', b"blue"), False, id="short text"),
        pytest.param(part('form-data; name="colour"', "bläu".encode(), "Content-Type: text/plain"), False, id="UTF-8"),
        pytest.param(part('FORM-DATA; NAME="colour"', b""), False, id="empty"),
    ],
)
def test_file_is_known_by_its_headers_or_its_content(sent: bytes, file: bool) -> None:
    name = re.search(rb'(?i) name="?(\w+)', sent)
    assert name is not None
    content = sent.partition(b"\r\n\r\n")[2][:-2]
    assert asyncio.run(read([sent + END])) == [content if file else (name[1].decode(), content.decode())]


def test_form_may_be_as_large_as_its_bounds() -> None:
    longest = part('form-data; name="roi"', LONG[1:])
    assert asyncio.run(read([longest + END])) == [("roi", LONG[1:].decode())]
    most = part('form-data; name="a"', b"1") * MAX_FIELDS
    assert asyncio.run(read([most + END])) == [("a", "1")] * MAX_FIELDS


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"--x\r\n\r\n1,1\r\n", id="no headers"),
        pytest.param(part("form-data", b"1,1"), id="no name"),
        pytest.param(part('form-data; name=""', b"1,1"), id="empty name"),
        pytest.param(part('form-data; name="roi"', NUL), id="parameter that is no text"),
        pytest.param(part('form-data; name="roi"', b"\xff"), id="parameter that is not UTF-8"),
    ],
)
def test_form_that_cannot_be_used(sent: bytes) -> None:
    with pytest.raises(MalformedForm):
        asyncio.run(read([sent + END]))


@pytest.mark.parametrize(
    ("sent", "found"),
    [
        pytest.param(part('form-data; name="roi"', LONG), "a field of more than", id="long parameter"),
        pytest.param(part('form-data; name="a"', b"1") * (MAX_FIELDS + 1), "fields", id="fields"),
        pytest.param(part('form-data; name="a"; filename="a"', b"") * 1001, "1000 parts", id="files"),
        pytest.param(part('form-data; name="a"', b"1", *["A: b"] * MAX_HEADERS), "headers", id="headers of a part"),
    ],
)
def test_form_beyond_its_bounds(sent: bytes, found: str) -> None:
    async def scenario() -> None:
        async for _ in parts_of(TYPE, chunks([sent + END]), PARAMETERS, 1000):
            pass

    with pytest.raises(FormTooLarge, match=found):
        asyncio.run(scenario())


def test_many_small_parts_leave_others_their_turn() -> None:
    """A chunk of thousands is read a few at a time."""
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def scenario() -> int:
        beside = asyncio.create_task(others())
        sent = part('form-data; name="a"; filename="a"', b"1") * 1000 + END
        count = 0
        async for _ in parts_of(TYPE, chunks([sent]), PARAMETERS):
            count += 1
        beside.cancel()
        return count

    assert asyncio.run(scenario()) == 1000
    assert turns >= 5


def test_file_of_a_body_that_is_there_stays_where_it_lies() -> None:
    tricky = TRICKY + b"\r\n--xx\r\n--x-" * 1000
    data, fields = form_of_one(TYPE, TEXT + FILE + tricky + b"\r\n" + TEXT + END, PARAMETERS)
    assert isinstance(data, memoryview)
    assert data == tricky
    assert fields == [("explain", "true")] * 2


@pytest.mark.parametrize("files", [0, 2, 100])
def test_form_of_one_has_one_file(files: int) -> None:
    with pytest.raises(FileMissing):
        form_of_one(TYPE, TEXT + (FILE + b"\r\n") * files + END, PARAMETERS)


def test_what_is_received_is_held_in_large_pieces_and_given_back_once() -> None:
    received = FileBuffer()
    for _ in range(3 * CHUNK_BYTES):
        received.append(b"a")
    assert len(received) == 3 * CHUNK_BYTES
    assert list(received.files()) == [b"a" * 3 * CHUNK_BYTES]
    assert received.taken() == b""


def test_a_large_file_is_given_back_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.imaging.decoder.LARGE_BYTES", 3 * CHUNK_BYTES)
    for size, whole in ((3 * CHUNK_BYTES, True), (3 * CHUNK_BYTES + 1, False)):
        received = FileBuffer()
        for start in range(0, size, 1000):
            received.append(b"a" * min(1000, size - start))
        (file,) = received.files()
        assert not isinstance(file, InputError)
        assert (len(file), not isinstance(file, ChunkedFile)) == (size, whole)
        assert piece_of(file, 0, size) == b"a" * size
        assert len(received) == 0


def test_archive_is_known_by_its_content_and_given_back_file_by_file() -> None:
    files = [bytes([n]) * 200_000 for n in range(3)]
    archive = zipped(files)
    received = FileBuffer()
    for start in range(0, len(archive), 3):
        received.append(archive[start : start + 3])
    assert list(received.files()) == files
