"""PNG, JPEG and TIFF to slices."""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from app.errors import (
    FrameOutOfRange,
    FrameRequired,
    ImageSizeOutOfRange,
    InputTooLarge,
    MalformedPicture,
    UnsupportedPixelFormat,
)
from app.imaging.ct import CTSlice
from app.imaging.options import ReadOptions, Window
from app.imaging.read import read_slice
from phantoms.slices import WINDOW_8_BIT, WINDOW_16_BIT, chest, picture, windowed
from tests.imaging.refusals import refused

HU = chest(size_px=64, spacing_mm=5.6)
EIGHT = windowed(HU, WINDOW_8_BIT, 8)
SIXTEEN = windowed(HU, WINDOW_16_BIT, 16)
STATED = ReadOptions(pixel_spacing_mm=(0.8, 0.7), window=WINDOW_8_BIT)
Kind = Literal["PNG", "JPEG", "TIFF"]


def codes(ct_slice: CTSlice) -> set[str]:
    return {note.code for note in ct_slice.notes}


def image_of(mode: str) -> np.ndarray[Any, Any]:
    return np.asarray(Image.fromarray(EIGHT).convert(mode))


def saved(image: Image.Image, kind: Kind = "PNG") -> bytes:
    from io import BytesIO

    out = BytesIO()
    image.save(out, kind)
    return out.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize(("bits", "window"), [(16, WINDOW_16_BIT), (8, WINDOW_8_BIT)])
def test_a_stated_window_gives_hu_within_half_a_step(kind: Kind, bits: Literal[8, 16], window: Window) -> None:
    options = ReadOptions(pixel_spacing_mm=(0.8, 0.7), window=window)
    ct_slice = read_slice(picture(windowed(HU, window, bits), kind), options)
    clipped = np.clip(HU, window.low_hu, window.high_hu)
    assert np.abs(ct_slice.hu - clipped).max() <= window.width_hu / ((1 << bits) - 1) / 2 + 1e-3
    assert ct_slice.spacing_mm == (0.8, 0.7)
    assert codes(ct_slice) == {"orientation_assumed"}
    source = ct_slice.source
    assert (source.kind, source.rows, source.columns, source.frame) == (kind.lower(), 64, 64, None)
    assert (ct_slice.orientation, ct_slice.position_mm) == (None, None)


def test_jpeg_is_close() -> None:
    ct_slice = read_slice(picture(EIGHT, "JPEG", quality=95), STATED)
    clipped = np.clip(HU, WINDOW_8_BIT.low_hu, WINDOW_8_BIT.high_hu)
    assert np.abs(ct_slice.hu - clipped).mean() < 2 * 1400 / 255
    assert np.array_equal(ct_slice.hu, read_slice(picture(EIGHT, "JPEG", quality=95, progressive=True), STATED).hu)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_compressed_tiff_is_read(compression: str) -> None:
    data = picture(EIGHT, "TIFF", compression=compression)
    assert np.array_equal(read_slice(data, STATED).hu, read_slice(picture(EIGHT), STATED).hu)


def test_what_is_not_stated_is_assumed_and_said_so() -> None:
    ct_slice = read_slice(picture(EIGHT))
    assert codes(ct_slice) == {"orientation_assumed", "spacing_assumed", "window_assumed"}
    assert (ct_slice.hu[EIGHT == 0].max(), ct_slice.hu[EIGHT == 255].min()) == (-1350, 150)
    whole = read_slice(picture(np.zeros((512, 400), np.uint8)))
    assert whole.spacing_mm == (0.7031, 0.7031)


@pytest.mark.parametrize("window", [Window(40, 400), Window(-900, 400)], ids=["mediastinum", "lung is white"])
def test_a_window_that_cuts_off_lung_is_said_so(window: Window) -> None:
    assert "window_clips_lung" in codes(read_slice(picture(EIGHT), ReadOptions(window=window)))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P"])
def test_grey_in_another_form_is_grey(mode: str) -> None:
    data = saved(Image.fromarray(EIGHT).convert(mode))
    assert np.array_equal(read_slice(data, STATED).hu, read_slice(picture(EIGHT), STATED).hu)


def test_grey_in_a_colour_jpeg_is_grey() -> None:
    data = saved(Image.fromarray(EIGHT).convert("RGB"), "JPEG")
    assert read_slice(data, STATED).hu.shape == (64, 64)


def coloured() -> np.ndarray[Any, Any]:
    rgb = image_of("RGB").copy()
    rgb[10:20, 10:20, 0] = 255 - rgb[10:20, 10:20, 0] // 2
    rgb[10:20, 10:20, 2] = 0
    return rgb


def transparent() -> np.ndarray[Any, Any]:
    rgba = image_of("RGBA").copy()
    rgba[:4, :4, 3] = 0
    return rgba


@pytest.mark.parametrize(
    "data",
    [
        picture(coloured()),
        picture(coloured(), "JPEG", quality=95),
        picture(coloured(), "TIFF"),
        saved(Image.fromarray(coloured()).convert("P")),
        picture(transparent()),
        saved(Image.fromarray(EIGHT).convert("1")),
        saved(Image.fromarray(EIGHT).convert("1"), "TIFF"),
        saved(Image.fromarray(EIGHT // 64).quantize(4)),
        picture(HU.astype(np.float32), "TIFF"),
        picture(HU.astype(np.int32), "TIFF"),
        saved(Image.fromarray(coloured()).convert("CMYK"), "TIFF"),
    ],
    ids=[
        *("colour PNG", "colour JPEG", "colour TIFF", "palette", "transparency", "1-bit PNG", "1-bit TIFF"),
        *("2-bit palette", "float TIFF", "32-bit TIFF", "CMYK TIFF"),
    ],
)
def test_what_is_not_eight_or_sixteen_bit_grey_is_refused(data: bytes) -> None:
    refused(data, UnsupportedPixelFormat)


def tiff(*entries: tuple[int, int], pages: int = 1, values: bytes = b"\x10\x00" * 64 * 64) -> bytes:
    """A TIFF of 64 x 64 16-bit pixels with `entries` (tag, number) changed, its pages all alike and none but a tag."""
    tags = {256: 64, 257: 64, 258: 16, 259: 1, 262: 1, 273: 8, 277: 1, 278: 64, 279: len(values)} | dict(entries)
    directory = struct.pack("<H", len(tags)) + b"".join(
        struct.pack("<HHLL", tag, 4, 1, number) for tag, number in sorted(tags.items())
    )
    size, start = len(directory) + 4, 8 + len(values)
    nexts = [start + size * n if n < pages else 0 for n in range(1, pages + 1)]
    return b"II*\0" + struct.pack("<L", start) + values + b"".join(directory + struct.pack("<L", n) for n in nexts)


def test_a_tiff_whose_white_is_zero_is_refused() -> None:
    assert read_slice(tiff(), STATED).hu[0, 0] == pytest.approx(-1000 + 1400 * 16 / 65535, abs=0.01)
    refused(tiff((262, 0)), UnsupportedPixelFormat)


def test_one_page_of_several_is_read_when_it_is_named() -> None:
    data = picture([EIGHT, 255 - EIGHT, EIGHT // 2], "TIFF")
    refused(data, FrameRequired)
    for frame, values in ((1, EIGHT), (2, 255 - EIGHT), (3, EIGHT // 2)):
        ct_slice = read_slice(data, ReadOptions(frame, STATED.pixel_spacing_mm, STATED.window))
        assert np.array_equal(ct_slice.hu, read_slice(picture(values), STATED).hu)
        assert ct_slice.source.frame == frame
    for frame in (0, 4):
        refused(data, FrameOutOfRange, ReadOptions(frame=frame))
    refused(picture(EIGHT), FrameOutOfRange, ReadOptions(frame=2))


def test_the_size_of_the_page_that_is_read_counts() -> None:
    data = picture([EIGHT, np.zeros((16, 16), np.uint8)], "TIFF")
    refused(data, ImageSizeOutOfRange, ReadOptions(frame=2))
    assert read_slice(data, ReadOptions(frame=1)).hu.shape == (64, 64)


def test_more_pages_than_a_series_are_refused() -> None:
    refused(tiff(pages=2001), InputTooLarge, ReadOptions(frame=1))


def turned(kind: Kind, orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return picture(np.ascontiguousarray(EIGHT[:40]), kind, exif=exif)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_picture_to_be_turned_is_refused(kind: Kind, orientation: int) -> None:
    error = refused(turned(kind, orientation), UnsupportedPixelFormat, STATED)
    assert error.found == f"a {kind.lower()} to be turned or mirrored for display"
    assert "orientation" in error.remedy


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("orientation", [0, 1, 9, 65535])
def test_an_orientation_that_turns_nothing_changes_nothing(kind: Kind, orientation: int) -> None:
    assert np.array_equal(read_slice(turned(kind, orientation), STATED).hu, read_slice(turned(kind, 1), STATED).hu)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize(
    "damage", [b"", b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"]
)
def test_damaged_exif_is_passed_over(kind: Kind, damage: bytes) -> None:
    assert read_slice(picture(EIGHT, kind, exif=damage), STATED).hu.shape == EIGHT.shape


def test_a_png_that_tells_how_to_turn_it_after_its_pixels_is_refused() -> None:
    data = turned("PNG", 6)
    at = data.index(b"eXIf") - 4
    (length,) = struct.unpack_from(">L", data, at)
    chunk, end = data[at : at + 12 + length], data.index(b"IEND") - 4
    refused(data[:at] + data[at + len(chunk) : end] + chunk + data[end:], UnsupportedPixelFormat, STATED)


def exif_as_text(orientation: int) -> PngInfo:
    """As ImageMagick writes it: its length, and hexadecimal digits."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    told = b"Exif\0\0" + exif.tobytes().removeprefix(b"Exif\0\0")
    texts = PngInfo()
    texts.add_text("Raw profile type exif", f"\nexif\n{len(told):8}\n{told.hex()}\n", zip=True)
    return texts


def xmp(orientation: int) -> PngInfo:
    texts = PngInfo()
    texts.add_itxt("XML:com.adobe.xmp", f"<x><tiff:Orientation>{orientation}</tiff:Orientation></x>")
    return texts


@pytest.mark.parametrize("texts", [exif_as_text, xmp])
def test_a_png_whose_texts_tell_how_to_turn_it_is_refused(texts: Callable[[int], PngInfo]) -> None:
    values = np.ascontiguousarray(EIGHT[:40])
    refused(picture(values, "PNG", pnginfo=texts(6)), UnsupportedPixelFormat, STATED)
    assert np.array_equal(
        read_slice(picture(values, "PNG", pnginfo=texts(1)), STATED).hu, read_slice(picture(values, "PNG"), STATED).hu
    )


@pytest.mark.parametrize("values", [EIGHT, SIXTEEN], ids=["8 bits", "16 bits"])
def test_bigtiff_is_read(values: np.ndarray[Any, Any]) -> None:
    data = picture([values, values // 2], "TIFF", big_tiff=True)
    assert data.startswith(b"II+\0")
    for frame, page in ((1, values), (2, values // 2)):
        ct_slice = read_slice(data, ReadOptions(frame, STATED.pixel_spacing_mm, STATED.window))
        assert np.array_equal(ct_slice.hu, read_slice(picture(page), STATED).hu)


@pytest.mark.parametrize("orientation", [0, 2, 6])
def test_a_tiff_to_be_turned_is_refused(orientation: int) -> None:
    assert read_slice(tiff((274, 1)), STATED).hu.shape == (64, 64)
    refused(tiff((274, orientation)), UnsupportedPixelFormat)


@pytest.mark.parametrize(
    "data",
    [
        *(picture(EIGHT, kind) for kind in ("PNG", "JPEG", "TIFF")),
        picture(SIXTEEN),
        picture(EIGHT, "JPEG", progressive=True),
        picture(EIGHT, "TIFF", compression="tiff_lzw"),
    ],
    ids=["png", "jpeg", "tiff", "16-bit png", "progressive jpeg", "lzw tiff"],
)
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.95])
def test_a_picture_cut_short_is_malformed(data: bytes, kept: float) -> None:
    refused(data[: int(len(data) * kept)], MalformedPicture)


def png(width: int, height: int, *, chunk_length: int | None = None) -> bytes:
    """A PNG that claims a size and has hardly a pixel."""

    def chunk(kind: bytes, data: bytes, length: int | None = None) -> bytes:
        return struct.pack(">L", length or len(data)) + kind + data + struct.pack(">L", zlib.crc32(kind + data))

    header = struct.pack(">LLBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(b"\0" * 100), chunk_length)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (png(60_000, 60_000), ImageSizeOutOfRange),
        (png(12_000, 12_000), ImageSizeOutOfRange),
        (png(3000, 64), ImageSizeOutOfRange),
        (png(2048, 2048), MalformedPicture),
        (png(64, 64, chunk_length=0x7FFF_FFF0), MalformedPicture),
        (tiff((256, 60_000), (257, 60_000)), ImageSizeOutOfRange),
        (tiff((256, 2048), (257, 2048), (278, 2048)), MalformedPicture),
        (tiff((279, 0x7FFF_FFFF)), None),
        (tiff((273, 0x7FFF_FFFF)), MalformedPicture),
    ],
    ids=["square", "bomb warning", "wide", "no pixels", "chunk", "TIFF", "no strips", "strip length", "strip offset"],
)
def test_a_claim_takes_no_memory(data: bytes, error: type[ImageSizeOutOfRange] | None) -> None:
    tracemalloc.start()
    try:
        if error is not None:
            refused(data, error)
        assert tracemalloc.get_traced_memory()[1] < 24 << 20
    finally:
        tracemalloc.stop()


def test_a_jpeg_of_endless_scans_is_malformed() -> None:
    data = picture(EIGHT, "JPEG", progressive=True)
    at = data.rindex(b"\xff\xda")
    refused(data[:-2] + data[at:-2] * 200 + data[-2:], MalformedPicture)


def test_a_wide_field_is_refused() -> None:
    data = picture(np.zeros((64, 1000), np.uint8))
    refused(data, ImageSizeOutOfRange, ReadOptions(pixel_spacing_mm=(0.7, 2.0)))
