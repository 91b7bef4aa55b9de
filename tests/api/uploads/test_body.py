"""Bodies in a content coding (RFC 9110 8.4), for every operation that takes one."""

from __future__ import annotations

import gzip
import itertools
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from app.main import create_app
from app.settings import Settings
from phantoms.series import SLICES, slice_file, zipped
from tests.api.conftest import ON_NODULE, wait_until_ready
from tests.fakes import ArithmeticBackend, ArithmeticFilter

DICOM = {"Content-Type": "application/dicom"}
MEGABYTE = 1 << 20


def raw_deflate(data: bytes) -> bytes:
    """What some call deflate."""
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(data) + compressor.flush()


def members(data: bytes) -> bytes:
    """gzip in several members."""
    return b"".join(gzip.compress(data[start : start + 10_000]) for start in range(0, len(data), 10_000))


CODINGS: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("gzip", gzip.compress),
    ("GZIP, identity", members),
    ("x-gzip", gzip.compress),
    ("deflate", zlib.compress),
    ("deflate", raw_deflate),
]


@pytest.fixture
def client(settings: Settings, tmp_path: Path) -> Iterator[TestClient]:
    """With DICOMweb."""
    given = settings.model_copy(update={"spool_dir": tmp_path / "spool"})
    app = create_app(given, backend=ArithmeticBackend(), detector_backend=ArithmeticFilter())
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
    coded = gzip.compress(suspicious)
    for size in (1, 7, len(coded) - 1):
        pieces = (coded[start : start + size] for start in range(0, len(coded), size))
        response = client.post("/v1/predict", params=ON_NODULE, content=pieces, headers={"Content-Encoding": "gzip"})
        assert response.status_code == 200


@pytest.mark.parametrize("path", ["/v1/predict", "/v1/studies", "/dicom-web/studies"])
@pytest.mark.parametrize(
    ("coding", "body", "status", "code"),
    [
        ("gzip", gzip.compress(bytes(5 * MEGABYTE)), 413, "input_too_large"),
        ("deflate", zlib.compress(bytes(5 * MEGABYTE)), 413, "input_too_large"),
        ("gzip", gzip.compress(gzip.compress(bytes(5 * MEGABYTE))), None, None),
        ("gzip", b"no gzip", 400, "malformed_content_coding"),
        ("gzip", gzip.compress(b"abc")[:-1], 400, "malformed_content_coding"),
        ("gzip", gzip.compress(b"abc") + b"more", 400, "malformed_content_coding"),
        ("gzip", gzip.compress(b"abc")[:-8] + bytes(8), 400, "malformed_content_coding"),
        ("deflate", zlib.compress(b"abc") + b"more", 400, "malformed_content_coding"),
        ("deflate", b"\x07\x07", 400, "malformed_content_coding"),
        ("br", b"abc", 415, "unsupported_content_coding"),
        ("gzip, gzip", gzip.compress(gzip.compress(b"abc")), 415, "unsupported_content_coding"),
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
    zeros = gzip.compress(bytes(8 * MEGABYTE))
    taken = itertools.count()

    def endless() -> Iterator[bytes]:
        while True:
            next(taken)
            yield zeros

    response = client.post(
        "/v1/predict", content=itertools.islice(endless(), 100), headers={"Content-Encoding": "gzip"}
    )
    assert response.json()["code"] == "input_too_large"
