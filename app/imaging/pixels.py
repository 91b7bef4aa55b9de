"""Stored pixel values of one frame of a DICOM data set, native or compressed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.encaps import generate_fragments, get_frame, parse_basic_offsets
from pydicom.uid import UID, ExplicitVRBigEndian

from app.errors import ImageSizeOutOfRange, MalformedDicom, UnsupportedPixelFormat
from app.imaging.codecs import DECODERS, FrameShape, unsupported
from app.imaging.decoder import IN_PROCESS, Decoder
from app.imaging.header import Header, PixelBytes
from app.imaging.image_size import check_size

StoredValues = NDArray[np.integer[Any]]

MAX_FRAMES: Final = 10_000  # PS3.3 sets no bound; stops a claim, not a scan
MAX_PIXELS: Final = 1 << 30  # Rows x Columns x Frames: 4,096 frames of 512 x 512
GRAYSCALE: Final = ("MONOCHROME1", "MONOCHROME2")


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """The Image Pixel module (PS3.3 C.7.6.3), checked: one grey sample of 8 or 16 bits."""

    shape: FrameShape
    bits_stored: int
    signed: bool
    frames: int

    @classmethod
    def of(cls, header: Header) -> PixelFormat:
        """Read and check; raises ImageSizeOutOfRange, UnsupportedPixelFormat or MalformedDicom."""
        rows, columns = header.integer("Rows"), header.integer("Columns")
        check_size(rows, columns)
        allocated, stored = header.integer("BitsAllocated"), header.integer("BitsStored")
        _check_grayscale(header, allocated, stored)
        signed = header.integer("PixelRepresentation")
        frames = _frame_count(header)
        if signed not in (0, 1) or not 1 <= frames <= MAX_FRAMES:
            raise MalformedDicom(
                found="Pixel Representation or Number of Frames out of range",
                expected=f"0 or 1, and 1 to {MAX_FRAMES}",
                remedy="Correct the attribute at its source.",
            )
        if rows * columns * frames > MAX_PIXELS:
            raise ImageSizeOutOfRange(
                found=f"{frames} frames of {columns} columns x {rows} rows",
                expected=f"at most {MAX_PIXELS} pixels in all",
                remedy="Send fewer frames in one file.",
            )
        return cls(FrameShape(rows, columns, allocated), stored, bool(signed), frames)

    def signed_values(self, raw: NDArray[np.generic]) -> StoredValues:
        """Bits as stored to integers: what lies above Bits Stored is dropped, the sign bit extended (PS3.5 8.1.1).

        Of the width of `raw`, which is not copied when all of its bits are stored; int32 where that is too narrow.
        """
        kind = "i" if self.signed else "u"
        bits = raw.dtype.itemsize * 8
        if raw.dtype.kind not in "iu" or bits < self.bits_stored:
            raw, bits = raw.astype(np.int32), 32
        values: StoredValues = raw.view(f"{raw.dtype.byteorder}{kind}{raw.dtype.itemsize}")
        if bits == self.bits_stored:
            return values
        values = values.astype(values.dtype.newbyteorder("="))
        if self.signed:
            values <<= bits - self.bits_stored
            values >>= bits - self.bits_stored
        else:
            values &= (1 << self.bits_stored) - 1
        return values


def _frame_count(header: Header) -> int:
    """Number of Frames; where it is unusable, that of the frames described, at least one."""
    stated = header.number_if_usable("NumberOfFrames") if "NumberOfFrames" in header else 1.0
    if stated is not None and stated.is_integer() and stated >= 1:
        return int(stated)
    header.remarks.ignored.add("NumberOfFrames")
    described = 1
    while described <= MAX_FRAMES and header.item("PerFrameFunctionalGroupsSequence", described) is not None:
        described += 1
    return described


def _check_grayscale(header: Header, allocated: int, stored: int) -> None:
    samples = header.integer("SamplesPerPixel", default=1)
    photometric = header.text("PhotometricInterpretation")
    high_bit = header.integer("HighBit", default=stored - 1)
    gray = samples == 1 and photometric in GRAYSCALE
    if gray and allocated in (8, 16) and 1 <= stored <= allocated and high_bit == stored - 1:
        return
    raise UnsupportedPixelFormat(
        found=f"{samples} sample(s) of {stored} bits stored in {allocated}, high bit {high_bit}"
        + ("" if photometric in GRAYSCALE else ", not grey"),
        expected="one grey sample in 8 or 16 bits, high bit just below bits stored",
        remedy="Send the original CT image, not a screenshot or a colour map.",
    )


def frames_held(pixel_data: PixelBytes, transfer_syntax: UID, fmt: PixelFormat) -> int:
    """How many frames Pixel Data hold, whatever the header says: by their length, or by the table of their offsets."""
    if not transfer_syntax.is_transfer_syntax or not transfer_syntax.is_encapsulated:
        return len(pixel_data) // fmt.shape.nbytes
    try:
        return len(parse_basic_offsets(pixel_data.stream())) or 1
    # pydicom raises whatever it meets in a damaged table, which decoding will say.
    except Exception:
        return 1


def stored_values(
    pixel_data: PixelBytes, transfer_syntax: UID, fmt: PixelFormat, frame: int, decoder: Decoder = IN_PROCESS
) -> StoredValues:
    """Stored values of a 1-based frame: integers (rows, columns), perhaps a view of `pixel_data` and read-only.

    Raises UnsupportedTransferSyntax, or MalformedDicom when the pixel data do not hold what the header claims, and
    what `decoder` raises.
    """
    if not transfer_syntax.is_transfer_syntax or (transfer_syntax.is_encapsulated and transfer_syntax not in DECODERS):
        raise unsupported(transfer_syntax)
    if transfer_syntax.is_encapsulated:
        raw = decoder.frame(transfer_syntax, _encapsulated_frame(pixel_data, fmt, frame), fmt.shape)
    else:
        raw = _native_frame(pixel_data, fmt, frame, big_endian=transfer_syntax == ExplicitVRBigEndian)
    return fmt.signed_values(raw)


def _native_frame(pixel_data: PixelBytes, fmt: PixelFormat, frame: int, *, big_endian: bool) -> NDArray[np.generic]:
    shape = fmt.shape
    start = (frame - 1) * shape.nbytes
    if len(pixel_data) < start + shape.nbytes:
        raise MalformedDicom(
            found=f"{len(pixel_data)} bytes of pixel data",
            expected=f"{shape.nbytes * fmt.frames} for {fmt.frames} frame(s) of {shape.columns} x {shape.rows}",
            remedy="The file is probably cut short; send it again.",
        )
    kind = f"{'>' if big_endian else '<'}u{shape.bits_allocated // 8}"
    flat = np.frombuffer(pixel_data.part(start, start + shape.nbytes), kind)
    return flat.reshape(shape.rows, shape.columns)


def _encapsulated_frame(pixel_data: PixelBytes, fmt: PixelFormat, frame: int) -> bytes:
    stream = pixel_data.stream()
    try:
        if fmt.frames == 1:
            # All fragments, wherever a wrong offset table says that they begin (PS3.5 A.4).
            parse_basic_offsets(stream)
            return b"".join(generate_fragments(stream))
        return get_frame(stream, frame - 1, number_of_frames=fmt.frames)
    # pydicom raises whatever it meets in a damaged sequence of fragments.
    except Exception:
        raise MalformedDicom(
            found="an encapsulated pixel sequence that does not hold the frame",
            expected=f"{fmt.frames} frame(s) in fragments (PS3.5 A.4)",
            remedy="Send the file as the modality or the archive wrote it.",
        ) from None
