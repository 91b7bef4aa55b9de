"""Bytes to `CTSlice`. The type is decided by content, never by a file name or a declared type."""

from __future__ import annotations

from typing import Final, Literal

import cv2

from app.errors import EmptyInput, MalformedDicom, UnsupportedMediaType
from app.imaging.ct import CTSlice
from app.imaging.decoder import IN_PROCESS, Decoder
from app.imaging.dicom import read_dicom
from app.imaging.formats import HEAD_BYTES, is_dicom, unread_format
from app.imaging.header import quiet_pydicom
from app.imaging.options import ReadOptions
from app.imaging.picture import read_picture
from app.imaging.picture_parts import PictureKind
from app.imaging.quiet import quiet_image_libraries

MAGIC: Final[tuple[tuple[bytes, PictureKind], ...]] = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"II*\x00", "tiff"),
    (b"MM\x00*", "tiff"),
    (b"II+\x00", "tiff"),  # BigTIFF
)
SNIFFED_BYTES: Final = HEAD_BYTES  # all that tells the kinds of files apart
BARE_DICOM: Final = (b"\x08\x00", b"\x02\x00", b"\x00\x08", b"\x00\x02")  # group 0008 or 0002 without preamble


def quiet_decoders() -> None:
    """Keep the decoders from writing about what they meet: call once at start-up."""
    quiet_pydicom()
    quiet_image_libraries()


def spare_threads() -> None:
    """Let each call of OpenCV keep to its thread: call once at start-up of what judges several images at a time.

    Its own threads cost more in waking and waiting than they save on parts of one slice.
    """
    cv2.setNumThreads(1)


def sniff(data: bytes | memoryview) -> Literal["dicom", "png", "jpeg", "tiff"]:
    """The kind of a file, by its first SNIFFED_BYTES; raises EmptyInput, MalformedDicom or UnsupportedMediaType."""
    if not data:
        raise EmptyInput(found="no bytes", expected="a CT image", remedy="Check that the file was attached.")
    head = bytes(data[:SNIFFED_BYTES])
    if is_dicom(head):
        return "dicom"
    for magic, kind in MAGIC:
        if head.startswith(magic):
            return kind
    if head[:2] in BARE_DICOM:
        raise MalformedDicom(
            found="a DICOM data set without preamble and file meta information",
            expected="a DICOM file (PS3.10 7.1)",
            remedy="Write it with its file meta information: the transfer syntax is not to be guessed.",
        )
    unread = unread_format(head)
    raise UnsupportedMediaType(found=unread.name, expected="DICOM, PNG, JPEG or TIFF", remedy=unread.remedy)


def read_slice(data: bytes | memoryview, options: ReadOptions | None = None, decoder: Decoder = IN_PROCESS) -> CTSlice:
    """Read one slice in HU from the bytes of one file. Raises the input errors of `app.errors`."""
    kind = sniff(data)
    options = options or ReadOptions()
    if kind == "dicom":
        return read_dicom(data, options, decoder)
    return read_picture(bytes(data), kind, options, decoder)
