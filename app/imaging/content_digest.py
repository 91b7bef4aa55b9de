"""Digests of files as they were sent, by which an image is known again.

BLAKE3, as `b3sum` writes it: 525 kB of a slice take a quarter of the time that sha256 takes.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from blake3 import blake3

from app.imaging.chunked import ChunkedFile, FileBytes, piece_of

PIECE_BYTES: Final = 1 << 20


def file_digest(file: FileBytes) -> bytes:
    """The 32 bytes of the digest of one file, before anything of it is given back."""
    if not isinstance(file, ChunkedFile):
        return blake3(file).digest()
    whole = blake3()
    for start in range(0, len(file), PIECE_BYTES):
        whole.update(piece_of(file, start, min(start + PIECE_BYTES, len(file))))
    return whole.digest()


def written(digest: bytes) -> str:
    """`blake3:` and hexadecimal digits."""
    return f"blake3:{digest.hex()}"


def digest_of_files(digests: Collection[bytes]) -> str:
    """One digest of several files in any order: that of their sorted digests."""
    return written(blake3(b"".join(sorted(digests))).digest())
