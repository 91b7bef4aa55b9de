"""Digests (sha256) of files as they were sent, by which an image is known again."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from typing import Final

from app.imaging.chunked import ChunkedFile, FileBytes, piece_of

PIECE_BYTES: Final = 1 << 20


def file_digest(file: FileBytes) -> bytes:
    """The 32 bytes of the sha256 of one file, before anything of it is given back."""
    if not isinstance(file, ChunkedFile):
        return hashlib.sha256(file).digest()
    whole = hashlib.sha256()
    for start in range(0, len(file), PIECE_BYTES):
        whole.update(piece_of(file, start, min(start + PIECE_BYTES, len(file))))
    return whole.digest()


def written(digest: bytes) -> str:
    """`sha256:` and hexadecimal digits."""
    return f"sha256:{digest.hex()}"


def digest_of_files(digests: Collection[bytes]) -> str:
    """One digest of several files in any order: the sha256 of their sorted digests."""
    return written(hashlib.sha256(b"".join(sorted(digests))).digest())
