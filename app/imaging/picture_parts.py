"""Bounds on the parts of a picture file, counted before any decoder makes an object of each: chunks of a PNG, segments
of a JPEG, entries of a TIFF's directories. What is no pixels is dropped before the decoder sees it."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, Literal

from app.errors import InputTooLarge, MalformedPicture

PictureKind = Literal["png", "jpeg", "tiff"]

MAX_CHUNKS: Final = 20_000  # of a PNG: 160 MB in the 8 kB that libpng writes at once
MAX_SEGMENTS: Final = 2_000  # of a JPEG before its first scan; cameras write a dozen
MAX_ENTRIES: Final = 50_000  # of a TIFF's directories: 2,000 pages with 25 each
MAX_VALUES: Final = 2  # times the file: what the entries of a directory may refer to, each read into memory
SMALL_BYTES: Final = 1 << 20
PNG_SIGNATURE: Final = 8
PNG_CHUNK: Final = struct.Struct(">L4s")  # length and type (PNG 5.3), then the data and four bytes of checksum
PIXEL_CHUNKS: Final = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
STANDALONE: Final = frozenset({*range(0xD0, 0xD9), 0x01})  # markers without a segment (T.81 B.1.1.3)
START_OF_SCAN: Final = 0xDA
# APP0 and APP14 say which colours the values are; all others, and comments, are about the picture (T.81 B.2.4.6).
DROPPED: Final = frozenset({*range(0xE1, 0xEE), 0xEF, 0xFE})
TIFF_SIZES: Final = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8}


def check_parts(data: bytes, kind: PictureKind) -> None:
    """Raise InputTooLarge for a picture of more parts than are read, or whose parts refer to more than it holds."""
    if kind == "png":
        for ordinal, _ in enumerate(_png_chunks(data), 1):
            _check(ordinal, MAX_CHUNKS, "chunks")
    elif kind == "jpeg":
        for ordinal, _ in enumerate(_jpeg_segments(data), 1):
            _check(ordinal, MAX_SEGMENTS, "segments")
    else:
        _check_tiff(data)


def without_metadata(data: bytes, kind: PictureKind) -> bytes:
    """The picture without texts, EXIF, profiles and thumbnails; a TIFF as it is, whose offsets would be wrong."""
    if kind == "png":
        kept = (data[at:end] for at, end, name in _png_chunks(data) if name in PIXEL_CHUNKS)
        return data[:PNG_SIGNATURE] + b"".join(kept)
    if kind == "jpeg":
        dropped = [(at, end) for at, end, marker in _jpeg_segments(data) if marker in DROPPED]
        starts = [0, *(end for _, end in dropped)]
        ends = [*(at for at, _ in dropped), len(data)]
        return b"".join(data[start:end] for start, end in zip(starts, ends, strict=True)) if dropped else data
    return data


def _check(found: int, most: int, of: str) -> None:
    if found > most:
        raise InputTooLarge(
            found=f"a picture of more than {most} {of}",
            expected=f"at most {most}",
            remedy="Export the slice again, without metadata.",
        )


def _png_chunks(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Where each chunk begins and ends, and its type."""
    at = PNG_SIGNATURE
    while at + PNG_CHUNK.size <= len(data):
        length, name = PNG_CHUNK.unpack_from(data, at)
        end = at + PNG_CHUNK.size + length + 4
        yield at, end, name
        at = end


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Where each segment up to the first scan begins and ends, and its marker; fill bytes count as one each."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == START_OF_SCAN:
            return
        if marker == 0xFF:
            end = at + 1  # a fill byte (T.81 B.1.1.2)
        else:
            end = at + 2 + (0 if marker in STANDALONE else int.from_bytes(data[at + 2 : at + 4], "big"))
        yield at, end, marker
        at = max(end, at + 1)


def _check_tiff(data: bytes) -> None:
    """Count the entries of all directories, and the bytes that those of each refer to (TIFF 6.0, section 2)."""
    order = "<" if data[:2] == b"II" else ">"
    big = struct.unpack_from(f"{order}H", data, 2)[0] == 43  # BigTIFF
    count_of, entry_of, link = (
        (struct.Struct(f"{order}Q"), struct.Struct(f"{order}HHQQ"), struct.Struct(f"{order}Q"))
        if big
        else (struct.Struct(f"{order}H"), struct.Struct(f"{order}HHLL"), struct.Struct(f"{order}L"))
    )
    entries, seen = 0, set[int]()
    try:
        (at,) = link.unpack_from(data, 8 if big else 4)
        while at and at not in seen:
            seen.add(at)
            (count,) = count_of.unpack_from(data, at)
            at += count_of.size
            entries += 1 + count
            _check(entries, MAX_ENTRIES, "directory entries")
            held = 0
            for _ in range(count):
                _, kind, values, _ = entry_of.unpack_from(data, at)
                held += TIFF_SIZES.get(kind, 0) * values
                at += entry_of.size
            if held > max(SMALL_BYTES, MAX_VALUES * len(data)):
                raise MalformedPicture(
                    found="a tiff whose directory refers to more bytes than the file has",
                    expected="a complete PNG, JPEG or TIFF picture",
                    remedy="The file may be cut short or damaged; export it again.",
                )
            (at,) = link.unpack_from(data, at)
    except struct.error:
        return  # a directory beyond the end, which the decoder refuses
