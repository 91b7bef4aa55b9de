"""Pictures of more parts than are read, and what is dropped before the pixels are decoded."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from typing import Literal

import imagecodecs
import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from app.errors import InputTooLarge, MalformedPicture
from app.imaging.picture_parts import (
    MAX_CHUNKS,
    MAX_ENTRIES,
    MAX_SEGMENTS,
    PictureKind,
    check_parts,
    without_metadata,
)
from app.imaging.read import read_slice
from phantoms.slices import picture
from tests.imaging.refusals import refused

VALUES = np.arange(64 * 64, dtype=np.uint8).reshape(64, 64)
CANARY = b"NOBODY^CANARY"


def chunk(name: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(name + content)
    return struct.pack(">L4s", len(content), name) + content + struct.pack(">L", checksum)


def png_with(*chunks: bytes) -> bytes:
    plain = picture(VALUES)
    header_end = 8 + 25
    return plain[:header_end] + b"".join(chunks) + plain[header_end:]


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def jpeg_with(*segments: bytes) -> bytes:
    plain = picture(VALUES, "JPEG", quality=95)
    return plain[:2] + b"".join(segments) + plain[2:]


def tiff(order: Literal["<", ">"], directories: list[list[tuple[int, int, int, int]]], *, big: bool = False) -> bytes:
    """A TIFF of nothing but directories with these entries."""
    head, count, entry, link = ("HHHQ", "Q", "HHQQ", "Q") if big else ("HL", "H", "HHLL", "L")
    start = 16 if big else 8
    mark = b"II" if order == "<" else b"MM"
    first = struct.pack(order + head, *((43, 8, 0, start) if big else (42, start)))
    data = mark + first
    for n, entries in enumerate(directories):
        size = struct.calcsize(order + count) + len(entries) * struct.calcsize(order + entry)
        after = len(data) + size + struct.calcsize(order + link)
        data += struct.pack(order + count, len(entries))
        data += b"".join(struct.pack(order + entry, *each) for each in entries)
        data += struct.pack(order + link, after if n + 1 < len(directories) else 0)
    return data


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(png_with(chunk(b"tEXt", b"a\0b") * (MAX_CHUNKS + 1)), id="chunks of a PNG"),
        pytest.param(png_with(chunk(b"abCd", b"") * (MAX_CHUNKS + 1)), id="unknown chunks"),
        pytest.param(jpeg_with(segment(0xFE, b"") * (MAX_SEGMENTS + 1)), id="comments of a JPEG"),
        pytest.param(jpeg_with(b"\xff" * (MAX_SEGMENTS + 2)), id="fill bytes of a JPEG"),
        pytest.param(tiff("<", [[(n, 3, 1, 0) for n in range(60_000)]]), id="entries of a TIFF"),
        pytest.param(tiff(">", [[(n, 3, 1, 0) for n in range(600)]] * 100), id="directories of a TIFF"),
        pytest.param(
            tiff("<", [[(n & 0xFFFF, 3, 1, 0) for n in range(MAX_ENTRIES + 1)]], big=True), id="entries of a BigTIFF"
        ),
    ],
)
def test_picture_of_many_parts_is_refused_by_their_number(data: bytes) -> None:
    assert "at most" in refused(data, InputTooLarge).expected


@pytest.mark.parametrize("big", [False, True])
def test_directory_that_refers_to_one_place_over_and_over_is_refused(big: bool) -> None:
    """Pillow reads the bytes of every entry into memory: a thousand entries for the same megabyte take a gigabyte."""
    data = tiff("<", [[(n + 40_000, 1, 1 << 20, 8) for n in range(1000)]], big=big) + bytes(1 << 20)
    assert "more bytes than the file has" in refused(data, MalformedPicture).found


def test_directories_in_a_circle_end() -> None:
    data = tiff("<", [[(256, 3, 1, 0)]])
    check_parts(data[:-4] + struct.pack("<L", 8), "tiff")


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("png", png_with(chunk(b"tEXt", b"Comment\0" + CANARY), chunk(b"zTXt", b"a\0\0" + zlib.compress(CANARY)))),
        ("png", picture(VALUES)),
        ("png", picture(np.arange(64 * 64, dtype=np.uint16).reshape(64, 64))),
        ("jpeg", jpeg_with(segment(0xFE, CANARY), segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + CANARY))),
        ("jpeg", picture(VALUES, "JPEG")),
        ("jpeg", picture(np.stack([VALUES] * 3, axis=2), "JPEG", progressive=True)),
    ],
)
def test_pixels_are_the_same_without_what_is_no_pixels(kind: PictureKind, data: bytes) -> None:
    bare = without_metadata(data, kind)
    assert CANARY not in bare
    decode = imagecodecs.png_decode if kind == "png" else imagecodecs.jpeg8_decode
    assert np.array_equal(decode(bare), decode(data))
    read_slice(data)


def test_texts_of_a_png_never_reach_the_answer() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("PatientName", CANARY.decode())
    out = BytesIO()
    Image.fromarray(VALUES).save(out, "PNG", pnginfo=info)
    assert CANARY in out.getvalue()
    assert CANARY.decode() not in str(read_slice(out.getvalue()))


@pytest.mark.parametrize("kind", ["png", "jpeg", "tiff"])
@pytest.mark.parametrize("cut", [9, 20, 100, -1])
def test_cut_pictures_are_counted_as_far_as_they_go(kind: PictureKind, cut: int) -> None:
    data = picture(VALUES, {"png": "PNG", "jpeg": "JPEG", "tiff": "TIFF"}[kind])  # type: ignore[arg-type]  # of three
    check_parts(data[:cut], kind)
    without_metadata(data[:cut], kind)
