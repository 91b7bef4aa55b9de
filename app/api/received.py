"""The bytes of one file on their way in. Nothing touches the disk."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final

from app.imaging.archive import ChunkedFile, archive_files, is_zip

CHUNK_BYTES: Final = 64 * 1024


class Received:
    """Takes the bytes of one file as they come; gives them back once: as the files they are, one at a time.

    An archive is held so that it shrinks while its files are taken.
    """

    def __init__(self) -> None:
        self._gathered = bytearray()
        self._chunks: deque[bytes] = deque()
        self._archive: ChunkedFile | None = None
        self._size = 0

    def __len__(self) -> int:
        """Bytes received."""
        return self._size

    def append(self, piece: bytes) -> None:
        """The next bytes."""
        # Gathered first: a parser makes a piece of every line end in the data, and each piece has its overhead.
        self._gathered += piece
        self._size += len(piece)
        if len(self._gathered) >= CHUNK_BYTES:
            self._flush()

    def files(self) -> Iterator[bytes]:
        """The file, or those of the archive that it is; raises the errors of `archive_files`."""
        self._flush()
        if self._archive is not None:
            yield from archive_files(self._archive)
        else:
            yield self.taken()

    def taken(self) -> bytes:
        """All bytes of what is no archive; they are not held any more."""
        self._flush()
        chunks, self._chunks = self._chunks, deque()
        return b"".join(chunks)

    def _flush(self) -> None:
        chunk = bytes(self._gathered)
        self._gathered.clear()
        if not self._chunks and self._archive is None and is_zip(chunk):
            self._archive = ChunkedFile()
        if self._archive is not None:
            self._archive.append(chunk)
        elif chunk:
            self._chunks.append(chunk)
