"""Pixel data that does not hold what its header claims: refused, before any memory is taken for it."""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from io import BytesIO

import imagecodecs
import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate, get_frame
from pydicom.uid import (
    HTJ2K,
    MPEG2MPML,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLSLossless,
    RLELossless,
)

from app.errors import ImageSizeOutOfRange, InputTooLarge, MalformedDicom, NoPixelData, UnsupportedTransferSyntax
from app.imaging.inflation import SMALL_INFLATED_BYTES
from app.imaging.options import ReadOptions
from app.imaging.read import read_slice
from phantoms.slices import ENCODERS, LOSSLESS_SYNTAXES, NATIVE, PixelCoding, derived_uid, dicom, relabelled, small
from tests.imaging.refusals import refused

HU = small()
HEVC = "1.2.840.10008.1.2.4.107"
JPEG_XL = "1.2.840.10008.1.2.4.110"
DEFLATED_FRAMES = "1.2.840.10008.1.2.8.1"
JPEG_PROGRESSIVE = UID("1.2.840.10008.1.2.4.55")
CLAIM_MB = 24  # of Python's own memory while a claim of gigabytes is refused; its file is among it


def with_frame(encoded: bytes, transfer_syntax: UID) -> bytes:
    """A file whose header describes HU and whose only frame is `encoded`."""
    dataset = pydicom.dcmread(BytesIO(dicom(HU, PixelCoding(transfer_syntax=RLELossless))))
    dataset.PixelData = encapsulate([encoded])
    out = BytesIO()
    dataset.save_as(out)
    return relabelled(out.getvalue(), transfer_syntax)


def frame_of(transfer_syntax: UID) -> bytes:
    dataset = pydicom.dcmread(BytesIO(dicom(HU, PixelCoding(transfer_syntax=transfer_syntax))))
    return get_frame(dataset.PixelData, 0, number_of_frames=1)


@pytest.mark.parametrize("uid", [HEVC, JPEG_XL, DEFLATED_FRAMES, MPEG2MPML, "1.2.3.4"])
def test_a_syntax_without_a_decoder_is_unsupported(uid: str) -> None:
    refused(relabelled(dicom(HU), uid), UnsupportedTransferSyntax)


def test_a_private_syntax_is_not_named() -> None:
    uid = derived_uid("instance")
    assert uid not in str(refused(relabelled(dicom(HU), uid), UnsupportedTransferSyntax))


@pytest.mark.parametrize("transfer_syntax", NATIVE[:3], ids=lambda uid: uid.keyword)
@pytest.mark.parametrize("kept", [0.3, 0.6, 0.999])
def test_native_pixels_cut_short_are_malformed(transfer_syntax: UID, kept: float) -> None:
    data = dicom(HU, PixelCoding(transfer_syntax=transfer_syntax))
    refused(data[: int(len(data) * kept)], MalformedDicom)


@pytest.mark.parametrize("transfer_syntax", ENCODERS, ids=lambda uid: uid.keyword)
@pytest.mark.parametrize("kept", [0.5, 0.9])
def test_a_compressed_file_cut_short_is_malformed(transfer_syntax: UID, kept: float) -> None:
    data = dicom(HU, PixelCoding(transfer_syntax=transfer_syntax))
    refused(data[: int(len(data) * kept)], MalformedDicom)


@pytest.mark.parametrize("transfer_syntax", ENCODERS, ids=lambda uid: uid.keyword)
@pytest.mark.parametrize("cut", [4, 100, 500])
def test_a_codestream_cut_short_is_malformed(transfer_syntax: UID, cut: int) -> None:
    refused(with_frame(frame_of(transfer_syntax)[:-cut], transfer_syntax), MalformedDicom)


@pytest.mark.parametrize("transfer_syntax", ENCODERS, ids=lambda uid: uid.keyword)
@pytest.mark.parametrize("frame", [b"\x00" * 10, b"\xff\xd8\xff\xe0", b"not an image at all" * 9], ids=len)
def test_a_frame_that_is_no_codestream_is_malformed(transfer_syntax: UID, frame: bytes) -> None:
    refused(with_frame(frame, transfer_syntax), MalformedDicom)


@pytest.mark.parametrize("transfer_syntax", [JPEG2000Lossless, JPEGLSLossless, JPEGLossless], ids=lambda u: u.keyword)
@pytest.mark.parametrize("claim", ["larger", "smaller", "huge"])
def test_a_codestream_of_another_size_is_malformed(transfer_syntax: UID, claim: str) -> None:
    other = small()
    if claim == "huge":
        frame = bytearray(frame_of(transfer_syntax))
        if transfer_syntax == JPEG2000Lossless:
            struct.pack_into(">LL", frame, 8, 60_000, 60_000)
        else:
            at = frame.index(b"\xff\xf7" if transfer_syntax == JPEGLSLossless else b"\xff\xc3")
            struct.pack_into(">HH", frame, at + 5, 60_000, 60_000)
        refused(with_frame(bytes(frame), transfer_syntax), MalformedDicom)
        return
    size = 64 if claim == "larger" else 32
    other = np.resize(HU, (size, size))
    stored = PixelCoding().store(other)
    refused(with_frame(ENCODERS[transfer_syntax](stored), transfer_syntax), MalformedDicom)


def test_colour_in_the_codestream_is_malformed() -> None:
    colour = np.zeros((48, 48, 3), np.uint8)
    refused(with_frame(bytes(imagecodecs.jpeg8_encode(colour)), JPEGBaseline8Bit), MalformedDicom)
    refused(with_frame(bytes(imagecodecs.jpeg2k_encode(colour, codecformat="j2k")), JPEG2000Lossless), MalformedDicom)


def test_a_decoy_before_the_codestream_does_not_count() -> None:
    huge = bytes(imagecodecs.jpeg2k_encode(np.zeros((1024, 1024), np.uint8), level=0, codecformat="jp2"))
    decoy = frame_of(JPEG2000Lossless)[:100]
    boxed = huge[:12] + struct.pack(">L4s", 8 + len(decoy), b"xml ") + decoy + huge[12:]
    refused(with_frame(boxed, JPEG2000Lossless), MalformedDicom)


def test_a_codestream_in_its_own_file_format_is_read() -> None:
    boxed = bytes(imagecodecs.jpeg2k_encode(PixelCoding().store(HU), level=0, codecformat="jp2", reversible=True))
    assert np.array_equal(read_slice(with_frame(boxed, JPEG2000Lossless)).hu, HU)


def test_a_codestream_of_many_or_missing_tiles_is_malformed() -> None:
    frame = bytearray(frame_of(JPEG2000Lossless))
    for side in (1, 24):  # 2304 and 4 tiles, of which one is there
        struct.pack_into(">LL", frame, 24, side, side)
        refused(with_frame(bytes(frame), JPEG2000Lossless), MalformedDicom)


def test_a_jpeg_of_endless_scans_is_malformed() -> None:
    scanned = bytearray(imagecodecs.jpeg8_encode(np.zeros((48, 48), np.uint8)))
    at = scanned.rindex(b"\xff\xda")
    bomb = bytes(scanned[:at] + scanned[at:-2] * 200 + scanned[-2:])
    refused(with_frame(bomb, JPEG_PROGRESSIVE), MalformedDicom)


@pytest.mark.parametrize("planes", [0, 1, 3, 15, 2**31])
def test_rle_needs_a_segment_for_each_byte(planes: int) -> None:
    frame = struct.pack("<L", planes) + frame_of(RLELossless)[4:]
    refused(with_frame(frame, RLELossless), MalformedDicom)


@pytest.mark.parametrize("offset", [0, 63, 2**31, 2**32 - 1])
def test_rle_offsets_outside_the_frame_are_malformed(offset: int) -> None:
    frame = bytearray(frame_of(RLELossless))
    struct.pack_into("<L", frame, 8, offset)
    refused(with_frame(bytes(frame), RLELossless), MalformedDicom)


def test_an_rle_segment_of_one_byte_does_not_fill_the_plane() -> None:
    frame = struct.pack("<16L", 2, 64, 66, *[0] * 13) + b"\x00\x01" * 2
    refused(with_frame(frame, RLELossless), MalformedDicom)


def test_rle_that_expands_without_end_is_malformed() -> None:
    bomb = struct.pack("<16L", 2, 64, 10_064, *[0] * 13) + b"\x81\x00" * 10_000
    refused(with_frame(bomb, RLELossless), MalformedDicom)


def test_more_bytes_than_pixels_are_malformed() -> None:
    refused(with_frame(frame_of(RLELossless) + b"\x00" * 100_000, RLELossless), MalformedDicom)


@pytest.mark.parametrize("transfer_syntax", [ExplicitVRLittleEndian, RLELossless], ids=lambda uid: uid.keyword)
def test_frames_that_are_missing_are_malformed(transfer_syntax: UID) -> None:
    coding = PixelCoding(transfer_syntax=transfer_syntax)
    refused(dicom(HU, coding, NumberOfFrames=5), MalformedDicom, ReadOptions(frame=5))


def test_native_pixels_in_a_compressed_syntax_are_malformed() -> None:
    data = dicom(HU, PixelCoding(transfer_syntax=ExplicitVRLittleEndian))
    refused(relabelled(data, RLELossless), MalformedDicom)


@pytest.mark.parametrize("vr", ["SQ", "LO", "US", "XX"])
def test_pixel_data_of_another_representation_is_refused(vr: str) -> None:
    data = dicom(HU, PixelCoding())
    damaged = data.replace(b"\xe0\x7f\x10\x00OW", b"\xe0\x7f\x10\x00" + vr.encode())
    assert damaged != data
    with pytest.raises((NoPixelData, MalformedDicom)):
        read_slice(damaged)


def deflated(dataset: bytes) -> bytes:
    """A deflated file whose data set is `dataset`."""
    whole = dicom(HU, PixelCoding(transfer_syntax=DeflatedExplicitVRLittleEndian))
    meta_length = struct.unpack_from("<L", whole, 140)[0]
    squeeze = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return whole[: 144 + meta_length] + squeeze.compress(dataset) + squeeze.flush()


def test_a_deflate_bomb_is_stopped_at_its_bound() -> None:
    bomb = deflated(b"\x00" * (SMALL_INFLATED_BYTES + 1))
    assert len(bomb) < 20_000
    refused(bomb, InputTooLarge)


def test_a_data_set_that_does_not_inflate_is_malformed() -> None:
    whole = dicom(HU, PixelCoding(transfer_syntax=DeflatedExplicitVRLittleEndian))
    refused(whole[:-200] + b"\xff" * 200, MalformedDicom)


def test_an_empty_large_slice_inflates() -> None:
    empty = np.full((2048, 2048), -1024, np.int16)
    data = dicom(empty, PixelCoding(transfer_syntax=DeflatedExplicitVRLittleEndian), spacing_mm=0.3)
    assert np.array_equal(read_slice(data).hu, empty)


@pytest.mark.parametrize("transfer_syntax", LOSSLESS_SYNTAXES, ids=lambda uid: uid.keyword)
def test_a_claim_of_gigabytes_takes_no_memory(transfer_syntax: UID) -> None:
    claims = (
        dicom(HU, PixelCoding(transfer_syntax=transfer_syntax), Rows=65535, Columns=65535),
        dicom(
            HU,
            PixelCoding(transfer_syntax=transfer_syntax),
            spacing_mm=0.3,
            Rows=2048,
            Columns=2048,
            NumberOfFrames=400,
        ),
    )
    tracemalloc.start()
    try:
        for claim in claims:
            with pytest.raises((MalformedDicom, ImageSizeOutOfRange)):
                read_slice(claim, ReadOptions(frame=400))
        assert tracemalloc.get_traced_memory()[1] < CLAIM_MB << 20
    finally:
        tracemalloc.stop()


def test_a_length_of_gigabytes_takes_no_memory() -> None:
    data = dicom(HU, PixelCoding(), spacing_mm=0.3, Rows=2048, Columns=2048)
    at = data.index(b"\xe0\x7f\x10\x00OW\x00\x00") + 8
    claim = data[:at] + struct.pack("<L", 3_000_000_000) + data[at + 4 :]
    tracemalloc.start()
    try:
        refused(claim, MalformedDicom)
        assert tracemalloc.get_traced_memory()[1] < CLAIM_MB << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("signed", "bits_stored"), [(False, 8), (False, 16), (True, 16)])
def test_lossy_high_throughput_stays_close_at_the_ends_of_the_range_too(signed: bool, bits_stored: int) -> None:
    lowest, beyond = (-(1 << 15), 1 << 15) if signed else (0, 1 << bits_stored)
    hu = np.random.default_rng(7).integers(lowest, beyond, (48, 48)).clip(-(1 << 15), (1 << 15) - 1).astype(np.int16)
    coding = PixelCoding(signed, bits_stored, 1, 0, RLELossless)
    stored = coding.store(hu)
    dataset = pydicom.dcmread(BytesIO(dicom(hu, coding)))
    encoded = imagecodecs.htj2k_encode(stored.view(np.int16) if signed else stored, reversible=False)
    dataset.PixelData = encapsulate([bytes(encoded)])
    out = BytesIO()
    dataset.save_as(out)
    assert np.abs(read_slice(relabelled(out.getvalue(), HTJ2K)).hu - hu).max() <= 3


def test_twelve_bit_jpeg_is_read() -> None:
    values = PixelCoding(bits_stored=12).store(HU)
    encoded = bytes(imagecodecs.jpeg8_encode(values, level=100, bitspersample=12))
    error = np.abs(read_slice(with_frame(encoded, JPEGExtended12Bit)).hu - HU)
    assert error.max() < 8  # DCT rounding at the best quality
