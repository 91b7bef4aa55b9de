"""What kind of file begins with some bytes. Formats that are not read have a name here, and what to send instead."""

from __future__ import annotations

import codecs
import re
import zlib
from dataclasses import dataclass
from itertools import product
from typing import Final

HEAD_BYTES: Final = 1024  # tar's mark is at 257, NIfTI's at 344; of a gzip it inflates to as much
PREAMBLE_BYTES: Final = 128
PREFIX: Final = b"DICM"  # after the preamble (PS3.10 7.1)
GZIP: Final = b"\x1f\x8b\x08"
GZIP_WINDOW: Final = zlib.MAX_WBITS | 16

VOLUME: Final = "Send the DICOM files it was made from; a single slice may also be a grey PNG or TIFF."
ARCHIVE: Final = "Unpack it and send the DICOM files themselves; those of one series also as one zip."
COMPRESSED: Final = "Unpack it and send what it holds: DICOM, PNG, JPEG or TIFF."
ARRAY: Final = "Write each slice as DICOM, or as grey PNG or TIFF with its window and pixel spacing stated."
PICTURE: Final = "Send the DICOM file; or export the slice as grey PNG or TIFF."
DOCUMENT: Final = "Send the image itself, not a report, a page or a link about it."


@dataclass(frozen=True, slots=True)
class Format:
    """A format that is not read, with its article, and what to do instead."""

    name: str
    remedy: str


MARKS: Final[tuple[tuple[int, bytes, Format], ...]] = (
    (344, b"n+1\0", Format("a NIfTI volume", VOLUME)),
    (344, b"ni1\0", Format("the header of a NIfTI volume", VOLUME)),
    (4, b"n+2\0\r\n\x1a\n", Format("a NIfTI-2 volume", VOLUME)),
    (4, b"ni2\0\r\n\x1a\n", Format("the header of a NIfTI-2 volume", VOLUME)),
    (0, b"\x5c\x01\0\0", Format("the header of an Analyze 7.5 volume", VOLUME)),  # its size, 348
    (0, b"\0\0\x01\x5c", Format("the header of an Analyze 7.5 volume", VOLUME)),
    (0, b"NRRD000", Format("an NRRD volume", VOLUME)),
    *((0, key, Format("a MetaImage volume (MHA, MHD)", VOLUME)) for key in (b"ObjectType", b"NDims", b"Comment =")),
    (0, b"\0\0\0\x01\0\0", Format("an MGH volume", VOLUME)),  # its version, and a width below 65536
    (0, b"!INTERFILE", Format("an Interfile header", VOLUME)),
    (0, b"# vtk DataFile", Format("a VTK file", VOLUME)),
    (0, b"CDF\x01", Format("a NetCDF or MINC file", VOLUME)),
    (0, b"CDF\x02", Format("a NetCDF or MINC file", VOLUME)),
    (257, b"ustar", Format("a tar archive", ARCHIVE)),
    (0, b"7z\xbc\xaf\x27\x1c", Format("a 7z archive", ARCHIVE)),
    (0, b"Rar!\x1a\x07", Format("a rar archive", ARCHIVE)),
    (
        0,
        b"PK\x03\x04",
        Format("a zip archive", "Send the slice by itself; the zip of a whole series is read as a series."),
    ),
    (0, b"PK\x05\x06", Format("an empty zip archive", ARCHIVE)),
    (0, b"PK\x07\x08", Format("a part of a zip archive", ARCHIVE)),
    (0, GZIP, Format("a gzip file", COMPRESSED)),
    (0, b"BZh", Format("a bzip2 file", COMPRESSED)),
    (0, b"\xfd7zXZ\0", Format("an xz file", COMPRESSED)),
    (0, b"\x28\xb5\x2f\xfd", Format("a Zstandard file", COMPRESSED)),
    (0, b"\x04\x22\x4d\x18", Format("an LZ4 file", COMPRESSED)),
    (0, b"\x1f\x9d", Format("a file of compress (Z)", COMPRESSED)),
    (0, b"LZIP", Format("an lzip file", COMPRESSED)),
    (0, b"\x89HDF\r\n\x1a\n", Format("an HDF5 file", ARRAY)),
    (0, b"\x93NUMPY", Format("a NumPy array (npy)", ARRAY)),
    (0, b"MATLAB 5.0 MAT-file", Format("a MATLAB file", ARRAY)),
    (0, b"GIF8", Format("a GIF picture", PICTURE)),
    (0, b"BM", Format("a BMP picture", PICTURE)),
    (8, b"WEBP", Format("a WebP picture", PICTURE)),
    (4, b"ftypavif", Format("an AVIF picture", PICTURE)),
    (4, b"ftyphe", Format("a HEIC picture", PICTURE)),
    (4, b"ftypmif1", Format("a HEIF picture", PICTURE)),
    (4, b"ftyp", Format("a film (MP4)", PICTURE)),
    (4, b"jP  \r\n\x87\n", Format("a JPEG 2000 picture", PICTURE)),
    (0, b"\xff\x4f\xff\x51", Format("a JPEG 2000 codestream", PICTURE)),
    (0, b"\xff\x0a", Format("a JPEG XL picture", PICTURE)),
    (4, b"JXL \r\n\x87\n", Format("a JPEG XL picture", PICTURE)),
    (0, b"8BPS", Format("a Photoshop picture", PICTURE)),
    *((0, b"P%c%c" % pair, Format("a PNM picture", PICTURE)) for pair in product(b"123456f", b"\n\r\t ")),
    (0, b"MM\0+", Format("a BigTIFF in big-endian byte order", "Write it in little-endian order, or as plain TIFF.")),
    (0, b"%PDF", Format("a PDF document", DOCUMENT)),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", Format("an Office document", DOCUMENT)),
    (0, b"{\\rtf", Format("an RTF document", DOCUMENT)),
    (0, b"<", Format("an HTML or XML document", DOCUMENT)),
    (0, b"{", Format("JSON", DOCUMENT)),
    (0, b"[", Format("JSON", DOCUMENT)),
    (0, b"ISA*", Format("an X12 message", DOCUMENT)),
    (0, b"MSH|", Format("an HL7 message", DOCUMENT)),
)
TEXT: Final = Format("text", "Send the bytes of the image file as they are: no Base64, no path and no address of it.")
BEFORE_TEXT: Final = b"\xef\xbb\xbf \t\r\n"  # a byte order mark in UTF-8, and white space
CONTROLS: Final = bytes({*range(32), 127} - {*b"\t\n\f\r"})  # that no text holds
UNKNOWN: Final = Format("bytes of no known image type", "Send the image itself, not an archive, a report or a link.")
NAME_AT: Final = 30  # of a zip's first member (APPNOTE 4.3.7)
NPY_NAME: Final = re.compile(rb"[\w/-]+\.npy")


def is_dicom(head: bytes) -> bool:
    """Whether a file with these first HEAD_BYTES is DICOM: a preamble may begin as any other format does."""
    return head[PREAMBLE_BYTES : PREAMBLE_BYTES + len(PREFIX)] == PREFIX


def unread_format(head: bytes) -> Format:
    """The format of a file with these first HEAD_BYTES, which is none of those that are read."""
    found = _marked(head) or _marked(head.lstrip(BEFORE_TEXT)) or (TEXT if _is_text(head) else UNKNOWN)
    if head.startswith(GZIP):
        return _packed(head) or found
    if head.startswith(b"PK\x03\x04") and NPY_NAME.match(head, NAME_AT):
        return Format("a NumPy archive (npz)", ARRAY)
    return found


def _marked(head: bytes) -> Format | None:
    return next((kind for at, mark, kind in MARKS if head.startswith(mark, at)), None)


def _is_text(head: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)  # the last character may be cut
    except UnicodeDecodeError:
        return False
    return not any(control in head for control in CONTROLS)


def _packed(head: bytes) -> Format | None:
    """What a gzip file holds, as far as it has a name."""
    try:
        start = zlib.decompressobj(GZIP_WINDOW).decompress(head, HEAD_BYTES)
    except zlib.error:
        return None
    if is_dicom(start):
        return Format("a DICOM file in gzip", "Unpack it and send the DICOM file.")
    inside = _marked(start)
    return None if inside is None else Format(f"{inside.name} in gzip", inside.remedy)
