"""Headers of DICOM files, compressed, for as long as a series is in memory."""

from __future__ import annotations

import zlib
from io import BytesIO

from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian

from app.imaging.chunked import FileBytes, piece_of, stream_of
from app.imaging.header import read_header


def pack_header(file: FileBytes) -> bytes:
    """What stands before the pixels of a DICOM file that `parse_dicom` has read, compressed: some kilobytes."""
    stream = stream_of(file)
    dataset = read_header(stream)
    header = piece_of(file, 0, stream.tell())
    if dataset.file_meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian:
        # Deflated as one, pixels and all.
        inflated = BytesIO()
        dataset.save_as(inflated)
        header = inflated.getbuffer()
    return zlib.compress(header, zlib.Z_BEST_SPEED)


def unpack_header(packed: bytes) -> Dataset:
    """The data set, without pixels, that `pack_header` has taken."""
    return read_header(BytesIO(zlib.decompress(packed)))
