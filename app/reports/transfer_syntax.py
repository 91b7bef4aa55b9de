"""Results in the transfer syntax that every DICOM program reads."""

from __future__ import annotations

from io import BytesIO
from typing import Final

import imagecodecs
import pydicom
from pydicom.encaps import get_frame
from pydicom.uid import ExplicitVRLittleEndian, JPEGLSLossless

META_BYTES: Final = 1024  # more than the preamble and the meta information of our files take


def uncompressed(content: bytes) -> bytes:
    """A result's file in Explicit VR Little Endian, which a picture in JPEG-LS is not as it is kept."""
    if JPEGLSLossless.encode() not in content[:META_BYTES]:
        return content
    instance = pydicom.dcmread(BytesIO(content))
    frame = get_frame(instance.PixelData, 0, number_of_frames=1)
    instance.PixelData = imagecodecs.jpegls_decode(frame).tobytes()
    instance["PixelData"].is_undefined_length = False
    instance.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    stream = BytesIO()
    instance.save_as(stream, enforce_file_format=True)
    return stream.getvalue()
