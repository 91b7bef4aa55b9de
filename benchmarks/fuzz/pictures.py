"""Mutations of PNG, JPEG and TIFF by their chunks, segments and fields."""

from __future__ import annotations

import gzip
import random
import struct
import zlib
from typing import Final

from benchmarks.fuzz.damage import damaged

PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
SIDES: Final = (0, 1, 15, 127, 129, 4096, 8193, 65535, 1 << 20, 0x7FFFFFFF, 0xFFFFFFFF)
BYTES: Final = (0, 1, 2, 3, 4, 6, 7, 8, 12, 15, 16, 17, 24, 32, 64, 127, 128, 255)
EXIF: Final = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0%c\0\0\0\0\0\0\0"
INSERTED_CHUNKS: Final = (
    b"tRNS",
    b"PLTE",
    b"gAMA",
    b"iCCP",
    b"eXIf",
    b"acTL",
    b"fcTL",
    b"sBIT",
    b"zTXt",
    b"IEND",
    b"XXXX",
)
INFLATING: Final = zlib.compress(bytes(4 << 20))
TIFF_TAGS: Final = (256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 284, 317, 320, 322, 323, 338, 339, 34665)
NUMBERS: Final = (
    0,
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    8,
    16,
    32,
    64,
    128,
    4096,
    32773,
    34712,
    65535,
    1 << 24,
    0x7FFFFFFF,
    0xFFFFFFFF,
)
GZIPPED: Final = gzip.compress(b"n+1\0" * 90, mtime=0)
OTHER_FORMATS: Final = (
    *(GZIPPED, GZIPPED[:12], b"ObjectType = Image\nNDims = 3\n", b"SIMPLE  =", b"ustar".rjust(262, b"x")),
    *(
        b"GIF89a\x01\0\x01\0\0\0\0;",
        b"BM" + bytes(52),
        b"RIFF\0\0\0\0WEBP",
        b"%PDF-1.7",
        b"\x1f\x8b\x08\0",
        b"7z\xbc\xaf",
    ),
    *(b"II+\0\x08\0\0\0" + bytes(16), b"MM\0+" + bytes(20), b"\0\0\0\x0cjP  \r\n\x87\n", b"n+1\0" * 90, b"NRRD0004\n"),
    *(
        b"{}",
        b"<html>",
        b"\xff\xd8\xff",
        b"\x89PNG",
        b"II*\0",
        b"\xffO\xffQ",
        b"Rar!\x1a\x07",
        b"\x89HDF\r\n\x1a\n",
        b"\0",
    ),
)


def mutated_picture(data: bytes, rng: random.Random) -> tuple[bytes, tuple[str, ...]]:
    """A mutant of a picture, and what was done to it."""
    draw = rng.random()
    if draw < 0.06:
        return rng.choice(OTHER_FORMATS), ("other format",)
    if draw < 0.2:
        return damaged(data, rng), ("damage",)
    if data.startswith(PNG_SIGNATURE):
        return _png(data, rng), ("png chunks",)
    if data.startswith(b"\xff\xd8"):
        return _jpeg(data, rng), ("jpeg segments",)
    return _tiff(data, rng), ("tiff fields",)


def _png(data: bytes, rng: random.Random) -> bytes:
    chunks, at = list[tuple[bytes, bytes]](), len(PNG_SIGNATURE)
    while at < len(data):
        (length,) = struct.unpack_from(">L", data, at)
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    for _ in range(rng.choice((1, 1, 2))):
        _change_chunks(chunks, rng)
    return PNG_SIGNATURE + b"".join(_chunk(kind, content, rng) for kind, content in chunks)


def _change_chunks(chunks: list[tuple[bytes, bytes]], rng: random.Random) -> None:
    at = rng.randrange(len(chunks))
    kind, content = chunks[at]
    match rng.randrange(6):
        case 0:
            header = bytearray(chunks[0][1].ljust(13, b"\0"))
            if rng.random() < 0.5:
                struct.pack_into(">L", header, rng.choice((0, 4)), rng.choice(SIDES))
            else:
                header[rng.randrange(8, 13)] = rng.choice(BYTES)
            chunks[0] = (chunks[0][0], bytes(header))
        case 1 if len(chunks) > 1:
            del chunks[at]
        case 2:
            chunks.insert(rng.randrange(len(chunks) + 1), (kind, content))
        case 3:
            rng.shuffle(chunks)
        case 4:
            chunks[at] = (kind, rng.choice((content[: len(content) // 2], b"", content + b"\0" * 9, INFLATING)))
        case _:
            chunks.insert(1, (rng.choice(INSERTED_CHUNKS), rng.choice((b"", bytes(8), rng.randbytes(13), INFLATING))))


def _chunk(kind: bytes, content: bytes, rng: random.Random) -> bytes:
    lies = rng.random() < 0.05
    length = rng.choice(SIDES) if lies and rng.random() < 0.5 else len(content)
    check = zlib.crc32(kind + content) ^ (1 if lies else 0)
    return struct.pack(">L", length) + kind + content + struct.pack(">L", check)


def _jpeg(data: bytes, rng: random.Random) -> bytes:
    segments, at = list[tuple[int, bytes]](), 2
    while data[at + 1] != 0xDA:
        (length,) = struct.unpack_from(">H", data, at + 2)
        segments.append((data[at + 1], data[at + 4 : at + 2 + length]))
        at += 2 + length
    rest = data[at:]
    for _ in range(rng.choice((1, 1, 2))):
        rest = _change_segments(segments, rest, rng)
    return b"\xff\xd8" + b"".join(_segment(code, content) for code, content in segments) + rest


def _change_segments(segments: list[tuple[int, bytes]], rest: bytes, rng: random.Random) -> bytes:
    if not segments:
        return rest
    at = rng.randrange(len(segments))
    code, content = segments[at]
    match rng.randrange(8):
        case 0:
            del segments[at]
        case 1:
            segments.insert(rng.randrange(len(segments) + 1), (code, content))
        case 2:
            rng.shuffle(segments)
        case 3:
            segments.insert(0, (0xE1, EXIF % rng.choice((0, 1, 2, 3, 5, 6, 8, 9))))
        case 4:
            segments.insert(0, (0xEE, b"Adobe\0\x64\0\0\0\0" + bytes([rng.randrange(4)])))
        case 5:
            segments[at] = (rng.choice((0xC0, 0xC1, 0xC2, 0xC3, 0xC9, 0xCA, 0xF7, 0xDB, 0xDD, 0xFE)), content)
        case 6 if content:
            changed = bytearray(content)
            changed[rng.randrange(min(len(changed), 20))] = rng.choice(BYTES)
            segments[at] = (code, bytes(changed))
        case _:
            return rng.choice((rest[: len(rest) // 2], rest[:-2], rest * 2, rest + b"trailing", b"\xff\xd9"))
    return rest


def _segment(code: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, code, len(content) + 2) + content


def _tiff(data: bytes, rng: random.Random) -> bytes:
    out = bytearray(data)
    (first,) = struct.unpack_from("<L", out, 4)
    (count,) = struct.unpack_from("<H", out, first)
    for _ in range(rng.choice((1, 1, 2, 3))):
        entry = first + 2 + 12 * rng.randrange(count)
        match rng.randrange(6):
            case 0:
                struct.pack_into("<H", out, entry, rng.choice(TIFF_TAGS))
            case 1:
                struct.pack_into("<H", out, entry + 2, rng.randrange(20))
            case 2:
                struct.pack_into("<L", out, entry + 4, rng.choice(NUMBERS))
            case 3:
                struct.pack_into("<L", out, entry + 8, rng.choice(NUMBERS))
            case 4:
                where = first + 2 + 12 * count
                struct.pack_into("<L", out, where, rng.choice((0, first, 8, len(out), 0xFFFFFFFF)))
            case _:
                struct.pack_into("<L", out, 4, rng.choice((0, 4, 8, len(out) - 1, 0xFFFFFFFF)))
                break
    return bytes(out)
