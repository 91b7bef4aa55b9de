"""The data set of a file in Deflated Explicit VR Little Endian (PS3.5 A.5)."""

from __future__ import annotations

import zlib
from typing import Final

from app.errors import InputTooLarge

MAX_INFLATED_BYTES: Final = 256 * 1024 * 1024  # a deflated 500-slice multi-frame CT; stops a zip bomb
MAX_INFLATION: Final = 100  # deflate reaches 1032 on zeros, 2 to 5 on CT
SMALL_INFLATED_BYTES: Final = 16 * 1024 * 1024  # an empty slice of the largest size inflates beyond MAX_INFLATION


def inflate(deflated: bytes | memoryview) -> bytes:
    """The data set; raises InputTooLarge where it is beyond MAX_INFLATED_BYTES, or grows by more than MAX_INFLATION
    beyond SMALL_INFLATED_BYTES, and EOFError where it has no end."""
    limit = min(MAX_INFLATED_BYTES, max(SMALL_INFLATED_BYTES, MAX_INFLATION * len(deflated)))
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    inflated = inflater.decompress(deflated, limit)
    if len(inflated) == limit:
        raise InputTooLarge(
            found=f"{len(deflated)} bytes that inflate to more than {limit >> 20} MB",
            expected="a CT image",
            remedy="Send the slice without deflate, or fewer frames.",
        )
    if not inflater.eof:
        raise EOFError
    return inflated
