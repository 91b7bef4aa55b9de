"""Compressed DICOM frames to stored values.

Before any memory is taken for pixels, the codestream's own header is compared with the data set: a frame may
claim any size. Decoders are imagecodecs' (libjpeg-turbo 3, CharLS, OpenJPEG); why these: docs/decisions/0001.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from app.errors import MalformedDicom, UnsupportedTransferSyntax

# Retired processes that archives still hold; pydicom's dictionary has them, its `uid` module has no names for them.
JPEG_SPECTRAL_SELECTION: Final = UID("1.2.840.10008.1.2.4.53")
JPEG_FULL_PROGRESSION: Final = UID("1.2.840.10008.1.2.4.55")

START_OF_FRAME: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}  # T.81 B.1.1.3; F7 is JPEG-LS
STANDALONE: Final = frozenset(range(0xD0, 0xD9)) | {0x01}
START_OF_SCAN: Final = b"\xff\xda"
END_OF_IMAGE: Final = b"\xff\xd9"
MAX_SEGMENTS: Final = 2_000  # before the frame header; encoders write about ten
MAX_SCANS: Final = 100  # encoders write about ten
RLE_SLACK_BYTES: Final = 128  # one run: some encoders pad a segment with one
START_OF_TILE_PART: Final = b"\xff\x90"
J2K_SIZE_MARKER: Final = b"\xff\x4f\xff\x51"
MAX_JP2_BOXES_BYTES: Final = 4096  # some write the JP2 file format, which PS3.5 A.4.4 forbids
MAX_TILES: Final = 1024  # 64 x 64 pixels at the largest size; OpenJPEG takes 20 kB for each before it decodes
MAX_EXPANSION: Final = 2  # an encoded frame longer than this times its pixels is not an encoding of them
ENCODED_SLACK_BYTES: Final = 64 * 1024  # tables, comments and metadata of small frames


@dataclass(frozen=True, slots=True)
class FrameShape:
    """Rows, columns and bits allocated (8 or 16) of one single-sample frame."""

    rows: int
    columns: int
    bits_allocated: int

    @property
    def nbytes(self) -> int:
        """Bytes of the frame without compression."""
        return self.rows * self.columns * self.bits_allocated // 8


def too_many_scans(jpeg: bytes) -> bool:
    """Whether a JPEG would be decoded over and over: each scan of a progressive one passes over all its pixels."""
    return jpeg.count(START_OF_SCAN) > MAX_SCANS


def _decode_jpeg(encoded: bytes, shape: FrameShape) -> NDArray[np.generic]:
    _expect_size(_jpeg_size(encoded), shape)
    if too_many_scans(encoded):
        raise ValueError("scans")
    # libjpeg fills what is missing with grey and calls it a warning.
    if encoded.rfind(END_OF_IMAGE) < encoded.rfind(START_OF_SCAN):
        raise EOFError
    return imagecodecs.jpeg8_decode(encoded)


def _decode_jpegls(encoded: bytes, shape: FrameShape) -> NDArray[np.generic]:
    _expect_size(_jpeg_size(encoded), shape)
    return imagecodecs.jpegls_decode(encoded)


def _decode_jpeg2000(encoded: bytes, shape: FrameShape) -> NDArray[np.generic]:
    # From the very header that was compared: a JP2 box before it may hold another.
    codestream = encoded[encoded.index(J2K_SIZE_MARKER, 0, MAX_JP2_BOXES_BYTES) :]
    _expect_size(_jpeg2000_size(codestream), shape)
    # OpenJPEG leaves a missing tile black. Within a tile's data no such marker can occur (T.800 A.1.2).
    if not 1 <= _jpeg2000_tiles(codestream) <= min(MAX_TILES, codestream.count(START_OF_TILE_PART)):
        raise EOFError
    return imagecodecs.jpeg2k_decode(codestream)


def _decode_rle(encoded: bytes, shape: FrameShape) -> NDArray[np.generic]:
    """PS3.5 Annex G: one PackBits segment for each byte of a value, most significant first."""
    planes = shape.bits_allocated // 8
    count, *offsets = struct.unpack_from("<16L", encoded)
    if count != planes:
        raise ValueError("segment count")
    ends = [*offsets[1:count], len(encoded)]
    pixels = shape.rows * shape.columns
    values = np.empty((pixels, planes), np.uint8)
    for plane, (start, end) in enumerate(zip(offsets[:count], ends, strict=True)):
        # The bound first: two bytes may claim 128.
        decoded = imagecodecs.packbits_decode(encoded[start:end], out=bytearray(pixels + RLE_SLACK_BYTES))
        if len(decoded) < pixels:
            raise ValueError("segment length")
        values[:, planes - 1 - plane] = np.frombuffer(decoded, np.uint8, pixels)
    return values.view("<u2" if planes == 2 else np.uint8).reshape(shape.rows, shape.columns)


Decode = Callable[[bytes, FrameShape], NDArray[np.generic]]
DECODERS: Final[dict[UID, Decode]] = {
    JPEGBaseline8Bit: _decode_jpeg,
    JPEGExtended12Bit: _decode_jpeg,
    JPEG_SPECTRAL_SELECTION: _decode_jpeg,
    JPEG_FULL_PROGRESSION: _decode_jpeg,
    JPEGLossless: _decode_jpeg,
    JPEGLosslessSV1: _decode_jpeg,
    JPEGLSLossless: _decode_jpegls,
    JPEGLSNearLossless: _decode_jpegls,
    JPEG2000Lossless: _decode_jpeg2000,
    JPEG2000: _decode_jpeg2000,
    # High throughput (T.814) differs in the coding of blocks alone. Not by OpenJPH: it wraps what lossy coding
    # brings beyond the range of values, air into bone.
    HTJ2KLossless: _decode_jpeg2000,
    HTJ2KLosslessRPCL: _decode_jpeg2000,
    HTJ2K: _decode_jpeg2000,
    RLELossless: _decode_rle,
}


def decode_frame(transfer_syntax: UID, encoded: bytes, shape: FrameShape) -> NDArray[np.generic]:
    """Decode one encapsulated frame to (rows, columns) integers as the codec stores them.

    Raises UnsupportedTransferSyntax when no decoder is kept for it, and MalformedDicom when the bytes do not
    decode or decode to another shape than the data set states.
    """
    require_encodable(transfer_syntax, encoded, shape)
    try:
        values = DECODERS[transfer_syntax](encoded, shape)
    # Each codec has errors of its own for damaged bytes; only codecs run inside this block. Which one it is, is not
    # said: it may depend on what the process decoded before.
    except (MalformedDicom, MemoryError):
        raise
    except Exception:
        raise _broken_frame("bytes its codec refuses") from None
    if values.shape != (shape.rows, shape.columns) or values.dtype.kind not in "iu" or values.dtype.itemsize > 2:
        raise _broken_frame(f"{values.dtype} values of shape {values.shape}")
    return values


def require_encodable(transfer_syntax: UID, encoded: bytes, shape: FrameShape) -> None:
    """Raise UnsupportedTransferSyntax when no decoder is kept for it, and MalformedDicom for more bytes than an
    encoding of the frame can have."""
    if transfer_syntax not in DECODERS:
        raise unsupported(transfer_syntax)
    if len(encoded) > MAX_EXPANSION * shape.nbytes + ENCODED_SLACK_BYTES:
        raise _broken_frame("more bytes than the frame's pixels can need")


def unsupported(transfer_syntax: UID) -> UnsupportedTransferSyntax:
    """The error for a transfer syntax without a kept decoder."""
    return UnsupportedTransferSyntax(
        found=f"transfer syntax {transfer_syntax.name}" if transfer_syntax.is_transfer_syntax else "no transfer syntax",
        expected="uncompressed, deflated, RLE, JPEG, JPEG-LS, JPEG 2000 or HTJ2K",
        remedy="Transcode the image, for example to Explicit VR Little Endian.",
    )


def _jpeg_size(encoded: bytes) -> tuple[int, int, int]:
    """(rows, columns, components) from the frame header of a JPEG (T.81 B.2.2) or JPEG-LS (T.87 C.2.2) stream."""
    at = 2
    for _ in range(MAX_SEGMENTS):
        marker, code = encoded[at], encoded[at + 1]
        if marker != 0xFF:
            raise ValueError("no marker")
        if code in START_OF_FRAME:
            rows, columns, components = struct.unpack_from(">HHB", encoded, at + 5)
            return rows, columns, components
        # 0xFF may be repeated as fill before a marker (T.81 B.1.1.2).
        at += 1 if code == 0xFF else 2 if code in STANDALONE else 2 + struct.unpack_from(">H", encoded, at + 2)[0]
    raise ValueError("segments")


def _jpeg2000_size(encoded: bytes) -> tuple[int, int, int]:
    """(rows, columns, components) from the SIZ segment (T.800 A.5.1) that a codestream begins with."""
    width, height, left, top = struct.unpack_from(">4L", encoded, 8)
    (components,) = struct.unpack_from(">H", encoded, 40)
    return height - top, width - left, components


def _jpeg2000_tiles(codestream: bytes) -> int:
    """Number of tiles that the SIZ segment lays over the image (T.800 B.3)."""
    width, height, _, _, tile_width, tile_height, left, top = struct.unpack_from(">8L", codestream, 8)
    tiles: int = math.ceil((width - left) / tile_width) * math.ceil((height - top) / tile_height)
    return tiles


def _expect_size(found: tuple[int, int, int], shape: FrameShape) -> None:
    if found != (shape.rows, shape.columns, 1):
        raise _broken_frame("a codestream header that disagrees with Rows, Columns or Samples per Pixel")


def _broken_frame(found: str) -> MalformedDicom:
    return MalformedDicom(
        found=f"a compressed frame with {found}",
        expected="pixel data as the data set describes it",
        remedy="Send the file as the modality or the archive wrote it.",
    )
