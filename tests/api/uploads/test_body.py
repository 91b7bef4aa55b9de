"""Bodies in a content coding (RFC 9110 8.4), for every operation that takes one."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi import Request
from starlette.testclient import TestClient

from app.api.uploads import body
from app.api.uploads.body import MIN_RATE, PIECE_BYTES, BodyLimit, body_of, bounded_body, has_left
from app.errors import InputTooLarge, UploadTooSlow
from app.main import create_app
from app.server.hooks import WHOLE_BODY
from app.settings import Settings
from phantoms.series import SLICES, slice_file, zipped
from tests.api.conftest import ON_NODULE, wait_until_ready
from tests.fakes import arithmetic_backends

DICOM = {"Content-Type": "application/dicom"}
MEGABYTE = 1 << 20


def compressed(data: bytes) -> bytes:
    """gzip without the time, so that the names of tests are those of every process."""
    return gzip.compress(data, mtime=0)


def raw_deflate(data: bytes) -> bytes:
    """What some call deflate."""
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(data) + compressor.flush()


def members(data: bytes) -> bytes:
    """gzip in several members."""
    return b"".join(compressed(data[start : start + 10_000]) for start in range(0, len(data), 10_000))


CODINGS: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("gzip", compressed),
    ("GZIP, identity", members),
    ("x-gzip", compressed),
    ("deflate", zlib.compress),
    ("deflate", raw_deflate),
]


@pytest.fixture
def client(settings: Settings, tmp_path: Path) -> Iterator[TestClient]:
    """With DICOMweb."""
    given = settings.model_copy(update={"spool_dir": tmp_path / "spool"})
    app = create_app(given, backends=arithmetic_backends())
    with TestClient(app, raise_server_exceptions=False) as client:
        wait_until_ready(client)
        yield client


@pytest.mark.parametrize(("coding", "compress"), CODINGS)
def test_coded_body_is_read_as_it_was_before(
    client: TestClient, suspicious: bytes, coding: str, compress: Callable[[bytes], bytes]
) -> None:
    headers = {"Content-Encoding": coding}
    plain = client.post("/v1/predict", params=ON_NODULE, content=suspicious)
    judged = client.post("/v1/predict", params=ON_NODULE, content=compress(suspicious), headers=headers)
    assert judged.json()["findings"] == plain.json()["findings"]
    files = zipped([slice_file(n) for n in range(SLICES)])
    assert client.post("/v1/studies", content=compress(files), headers=headers).status_code == 200
    stored = client.post("/dicom-web/studies", content=compress(slice_file(0)), headers={**headers, **DICOM})
    assert stored.status_code == 200


def test_coded_body_may_come_in_any_pieces(client: TestClient, suspicious: bytes) -> None:
    coded = compressed(suspicious)
    for size in (1, 7, len(coded) - 1):
        pieces = (coded[start : start + size] for start in range(0, len(coded), size))
        response = client.post("/v1/predict", params=ON_NODULE, content=pieces, headers={"Content-Encoding": "gzip"})
        assert response.status_code == 200


@pytest.mark.parametrize("path", ["/v1/predict", "/v1/studies", "/dicom-web/studies"])
@pytest.mark.parametrize(
    ("coding", "body", "status", "code"),
    [
        ("gzip", compressed(bytes(5 * MEGABYTE)), 413, "input_too_large"),
        ("deflate", zlib.compress(bytes(5 * MEGABYTE)), 413, "input_too_large"),
        ("gzip", compressed(compressed(bytes(5 * MEGABYTE))), None, None),
        ("gzip", b"no gzip", 400, "malformed_content_coding"),
        ("gzip", compressed(b"abc")[:-1], 400, "malformed_content_coding"),
        ("gzip", compressed(b"abc") + b"more", 400, "malformed_content_coding"),
        ("gzip", compressed(b"abc")[:-8] + bytes(8), 400, "malformed_content_coding"),
        ("deflate", zlib.compress(b"abc") + b"more", 400, "malformed_content_coding"),
        ("deflate", b"\x07\x07", 400, "malformed_content_coding"),
        ("br", b"abc", 415, "unsupported_content_coding"),
        ("gzip, gzip", compressed(compressed(b"abc")), 415, "unsupported_content_coding"),
        ("gzip", b"", 400, "empty_body"),
    ],
)
def test_what_cannot_be_expanded_is_refused_by_code(
    client: TestClient, path: str, coding: str, body: bytes, status: int | None, code: str | None
) -> None:
    response = client.post(path, content=body, headers={"Content-Encoding": coding, **DICOM})
    assert response.status_code < 500
    if status is not None:
        assert (response.status_code, response.json()["code"]) == (status, code)
    assert (response.headers.get("accept-encoding") == "gzip, deflate") == (code == "unsupported_content_coding")


def test_expansion_is_stopped_at_the_limit(client: TestClient) -> None:
    """A body of a few kilobytes that would be gigabytes: no more of it is asked for than was needed to see that."""
    zeros = compressed(bytes(8 * MEGABYTE))
    taken = itertools.count()

    def endless() -> Iterator[bytes]:
        while True:
            next(taken)
            yield zeros

    response = client.post(
        "/v1/predict", content=itertools.islice(endless(), 100), headers={"Content-Encoding": "gzip"}
    )
    assert response.json()["code"] == "input_too_large"


@pytest.mark.parametrize(("path", "megabytes"), [("/v1/predict", 1), ("/v1/studies", 4), ("/dicom-web/studies", 4)])
def test_body_of_exactly_the_limit_is_read(client: TestClient, path: str, megabytes: int) -> None:
    """A megabyte has 1024 x 1024 bytes; it makes no difference whether they were announced."""
    size = megabytes * MEGABYTE
    for more, refused in ((0, False), (1, True)):
        announced = client.post(path, content=bytes(size + more), headers=DICOM)
        chunked = client.post(path, content=iter([bytes(size), bytes(more)]), headers=DICOM)
        for response in (announced, chunked):
            code = response.json().get("code") if response.status_code >= 400 else None
            assert (code == "input_too_large") is refused, response.text


LIMIT = BodyLimit(max_bytes=MEGABYTE, setting="A_SETTING", patience_s=10)


def asked(pieces: list[bytes], headers: dict[str, str] | None = None, extension: object = None) -> Request:
    """A request whose body comes in these pieces."""
    messages = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    messages.append({"type": "http.request", "body": b"", "more_body": False})

    async def receive() -> dict[str, object]:
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    named = [(name.encode(), text.encode()) for name, text in (headers or {}).items()]
    scope = {"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": named}
    return Request(scope | ({} if extension is None else {"extensions": {WHOLE_BODY: extension}}), receive)


async def taken(request: Request) -> bytes:
    return b"".join([chunk async for chunk in bounded_body(request, LIMIT)])


class Clock:
    """Each look at it finds `step` seconds passed."""

    def __init__(self, step: float) -> None:
        self._now, self._step = 0.0, step

    def monotonic(self) -> float:
        self._now += self._step
        return self._now


@pytest.mark.parametrize(
    ("step_s", "bytes_each", "too_slow"),
    [(3, MIN_RATE, True), (3, MIN_RATE * 3, False), (1, MIN_RATE, False), (1.5, 1, True)],
)
def test_body_may_be_as_slow_as_the_least_rate_once_patience_is_spent(
    monkeypatch: pytest.MonkeyPatch, step_s: float, bytes_each: int, too_slow: bool
) -> None:
    monkeypatch.setattr(body, "time", Clock(step_s))
    request = asked([bytes(bytes_each)] * 10)
    if not too_slow:
        assert len(asyncio.run(taken(request))) == 10 * bytes_each
        return
    with pytest.raises(UploadTooSlow, match="less than 32 kB/s"):
        asyncio.run(taken(request))


@pytest.mark.parametrize("size", [PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 2 * PIECE_BYTES])
def test_coded_body_is_whole_whatever_its_size(size: int) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    for coded in (compressed(data[:size]), compressed(data[:100]) + compressed(data[100:size])):
        request = asked([coded[:5], coded[5:]], {"content-encoding": "gzip"})
        assert asyncio.run(body_of(request, LIMIT)) == data[:size]


def test_end_of_a_coded_body_is_not_lost_when_all_of_its_bytes_are_read() -> None:
    """Zeros without a checksum behind them: the last bits of the last byte give up to 258 bytes."""

    async def scenario() -> None:
        for more in range(300):
            request = asked([raw_deflate(bytes(PIECE_BYTES + more))], {"content-encoding": "deflate"})
            assert len(await body_of(request, LIMIT)) == PIECE_BYTES + more

    asyncio.run(scenario())


class Offered:
    """A body that a server offers whole, of a client who has gone."""

    left = True
    received = 0
    last_s = 0.0

    def into(self, _: memoryview) -> None:
        raise AssertionError("it was asked for")


def test_announced_body_beyond_the_limit_is_not_asked_for_whole() -> None:
    request = asked([], {"content-length": str(MEGABYTE + 1)}, Offered())
    with pytest.raises(InputTooLarge, match="A_SETTING"):
        asyncio.run(body_of(request, LIMIT))


def test_announced_chunks_beyond_the_limit_are_not_asked_for() -> None:
    async def receive() -> dict[str, object]:
        raise AssertionError("they were asked for")

    request = Request(asked([], {"content-length": str(MEGABYTE + 1)}).scope, receive)
    with pytest.raises(InputTooLarge, match="A_SETTING"):
        asyncio.run(taken(request))


def test_server_that_offers_the_body_knows_who_has_left() -> None:
    assert asyncio.run(has_left(asked([], extension=Offered())))
    assert not asyncio.run(has_left(asked([b"more"])))
