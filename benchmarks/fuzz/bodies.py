"""Multipart bodies and content codings as clients write them, and as they should not.

RFC 2046 5.1, RFC 7578, PS3.18 8.6; RFC 9110 8.4.
"""

from __future__ import annotations

import gzip
import random
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

BOUNDARY: Final = "mutant"
DICOM: Final = "application/dicom"
DISPOSITIONS: Final = (
    *(b"form-data", b'form-data; name=""', b'form-data; name="file', b"form-data; name=file", b"attachment"),
    *(b'form-data; name="file"; filename=""', b"form-data; name=\"file\"; filename*=UTF-8''%e2%82", b"", b";;;="),
    *(b'form-data; name="file"; filename="\\"x"', b"form-data; name=files; filename=" + b"x" * 5000, b"\xff\xfe"),
    *(b'form-data; name="roi"', b'form-data; name="file"; name="roi"', b'form-data; filename="x.dcm"'),
)
TYPES: Final = (
    *(b"application/dicom", b"application/octet-stream", b"text/plain", b"", b"application/json", b"image/png; q="),
    *(b"multipart/mixed; boundary=x", b"application/dicom+json", b"\xff", b"application/dicom; transfer-syntax=1.2"),
)
PREAMBLES: Final = (
    b"preamble\r\n",
    b"\r\n",
    b"\r\n\r\n\r\n",
    b"--",
    b"--mutan\r\n",
    b"\0" * 50,
    b"x" * 70_000 + b"\r\n",
)
EPILOGUES: Final = (b"epilogue", b"\r\n\r\n", b"--mutant\r\n", b"\0", b"--mutant--\r\n", b"x" * 70_000)
HEADERS: Final = (
    *(
        b"Content-Transfer-Encoding: base64",
        b"Content-Transfer-Encoding: binary",
        b"Content-Length: 5",
        b"X: " + b"y" * 9000,
    ),
    *(b"no colon", b": no name", b"Content-Location: /x", b"Content-ID: <1>", b" folded: x", b"X:\ty", b"Content-Type"),
)
BOUNDARIES: Final = ("", "x" * 71, "x" * 300, "mutan", "mutantt", '"', "a b", "ä", "-", "--mutant", "=", "%")
FIELDS: Final = (
    *(
        ("roi", b"37,60"),
        ("roi", b"nan,1"),
        ("roi", b"1e400,2"),
        ("roi", b"999999,1"),
        ("roi", b"-1,-1"),
        ("roi", b"1"),
    ),
    *(
        ("frame", b"1"),
        ("frame", b"99999999999999999999"),
        ("frame", b"-1"),
        ("frame", "١".encode()),
        ("explain", b"true"),
    ),
    *(
        ("explain", b"maybe"),
        ("window", b"-600,1500"),
        ("window", b"1e308,1e308"),
        ("window", b"0,0"),
        ("roi", b"\xff"),
    ),
    *(
        ("pixel_spacing_mm", b"0.7"),
        ("pixel_spacing_mm", b"0.7,nan"),
        ("pixel_spacing_mm", b"1e-9"),
        ("colour", b"red"),
    ),
    *(("", b"x"), ("roi", b"x" * 70_000), ("file", b"text"), ("files", b""), ("ROI", b"1,2"), ("roi", b"37,60\0")),
)

CODINGS: Final = ("gzip", "gzip", "gzip", "deflate", "x-gzip", "GZIP", "gzip, gzip", "identity", "br", "zstd", "", "x")
BOMB_BYTES: Final = 80 << 20  # more than the service takes of a slice


@dataclass(slots=True)
class Part:
    """One part: header lines and content."""

    headers: list[bytes]
    content: bytes

    def written(self, newline: bytes) -> bytes:
        """Headers, an empty line, content."""
        return b"".join(line + newline for line in self.headers) + newline + self.content


@dataclass(slots=True)
class Multipart:
    """A body and what its Content-Type states."""

    kind: str
    parts: list[Part]
    stated: str | None = BOUNDARY
    preamble: bytes = b""
    epilogue: bytes = b""
    newline: bytes = b"\r\n"
    padding: bytes = b""
    ended: bool = True

    def content_type(self) -> str:
        """With the boundary, where one is stated."""
        return self.kind if self.stated is None else f"{self.kind}; boundary={self.stated}"

    def written(self) -> bytes:
        """The bytes."""
        line = b"--" + BOUNDARY.encode() + self.padding + self.newline
        parts = b"".join(line + part.written(self.newline) + self.newline for part in self.parts)
        end = b"--" + BOUNDARY.encode() + b"--" + self.padding + self.newline if self.ended else b""
        return self.preamble + parts + end + self.epilogue


def form(files: Sequence[bytes], name: str, fields: Sequence[tuple[str, bytes]] = ()) -> Multipart:
    """A form (RFC 7578) with files of one name, and fields."""
    parts = [
        Part([b'Content-Disposition: form-data; name="%s"; filename="%d.dcm"' % (name.encode(), n)], data)
        for n, data in enumerate(files)
    ]
    texts = [Part([b'Content-Disposition: form-data; name="%s"' % key.encode()], value) for key, value in fields]
    return Multipart("multipart/form-data", [*texts, *parts])


def related(files: Sequence[bytes]) -> Multipart:
    """A STOW-RS body (PS3.18 10.5.1)."""
    parts = [Part([b"Content-Type: application/dicom"], data) for data in files]
    return Multipart(f'multipart/related; type="{DICOM}"', parts)


def _headers(body: Multipart, rng: random.Random) -> None:
    part = rng.choice(body.parts)
    match rng.randrange(4):
        case 0:
            part.headers.insert(0, rng.choice(HEADERS))
        case 1:
            part.headers = [] if rng.random() < 0.3 else [b"Content-Disposition: " + rng.choice(DISPOSITIONS)]
        case 2:
            part.headers.append(b"Content-Type: " + rng.choice(TYPES))
        case _:
            part.headers *= rng.choice((2, 100))


def _boundary(body: Multipart, rng: random.Random) -> None:
    body.stated = rng.choice((None, *BOUNDARIES, f'"{BOUNDARY}"'))


def _around(body: Multipart, rng: random.Random) -> None:
    body.preamble = rng.choice((b"", *PREAMBLES))
    body.epilogue = rng.choice((b"", *EPILOGUES))


def _lines(body: Multipart, rng: random.Random) -> None:
    body.newline, body.padding = (
        rng.choice((b"\r\n", b"\n", b"\r", b"\n\r")),
        rng.choice((b"", b" ", b"\t ", b"x", b"-")),
    )


def _end(body: Multipart, rng: random.Random) -> None:
    body.ended = rng.random() < 0.2
    if rng.random() < 0.5:
        body.parts[-1].content = body.parts[-1].content[: rng.randrange(len(body.parts[-1].content) + 1)]


def _contents(body: Multipart, rng: random.Random) -> None:
    part = rng.choice(body.parts)
    delimiter = b"--" + BOUNDARY.encode()
    part.content = rng.choice(
        (b"", b"\r\n" + delimiter, delimiter, part.content + b"\r\n--mutan", b"\r\n", b"-" * 5000)
    )


def _count(body: Multipart, rng: random.Random) -> None:
    match rng.randrange(3):
        case 0:
            body.parts = []
        case 1:
            body.parts.append(rng.choice(body.parts))
        case _:
            body.parts[:0] = [Part(list(body.parts[0].headers), b"")] * rng.choice((1, 300))


def _kind(body: Multipart, rng: random.Random) -> None:
    kinds = (
        "multipart/form-data",
        "multipart/related",
        "multipart/mixed",
        "multipart/",
        "multipart",
        "text/plain",
        "/",
    )
    body.kind = rng.choice((*kinds, 'multipart/related; type="image/png"', "multipart/form-data; charset=utf-16"))


CHANGES: Final[tuple[Callable[[Multipart, random.Random], None], ...]] = (
    *(_headers, _headers, _boundary, _around, _lines, _end, _contents, _count, _kind),
)


def change(body: Multipart, rng: random.Random) -> str:
    """Change a body in one place; returns what was done."""
    chosen = rng.choice([each for each in CHANGES if body.parts or each in (_boundary, _around, _lines, _kind)])
    chosen(body, rng)
    return f"multipart{chosen.__name__}"


def coded(body: bytes, rng: random.Random) -> tuple[str, bytes]:
    """A content coding and the body in it, or in another, or damaged, or one that inflates to too much."""
    coding = rng.choice(CODINGS)
    if coding == "deflate":
        packed = zlib.compress(body, 1)
    else:
        packed = body if rng.random() < 0.1 else gzip.compress(body, 1, mtime=0)
    if coding == "gzip, gzip":
        packed = gzip.compress(packed, 1, mtime=0)
    cut = rng.randrange(len(packed) + 1)
    odd = (packed[:cut], packed + b"trailing", packed * 2, packed[:cut] + b"\xff" + packed[cut:], b"", _bomb())
    return coding, rng.choice(odd) if rng.random() < 0.5 else packed


@cache
def _bomb() -> bytes:
    return gzip.compress(bytes(BOMB_BYTES), 1, mtime=0)
