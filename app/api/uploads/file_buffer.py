"""The bytes of one file during its upload, in memory only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from app.errors import InputError
from app.imaging.chunked import ChunkedFile, FileBytes
from app.imaging.decoder import IN_PROCESS, Decoder, files_of

CHUNK_BYTES: Final = 64 * 1024


class FileBuffer:
    """Takes the bytes of one file as they come, and gives back the file, or the files of an archive one at a time.

    It can give them back once. The buffer shrinks while the caller takes the files of an archive, or the frames of a
    file of more than LARGE_BYTES.
    """

    def __init__(self) -> None:
        self._gathered = bytearray()
        self._held = ChunkedFile()

    def __len__(self) -> int:
        """Bytes received."""
        return len(self._held) + len(self._gathered)

    def append(self, piece: bytes | memoryview) -> None:
        """Add the next bytes."""
        if len(piece) >= CHUNK_BYTES:
            self._flush()
            self._held.append(piece)
            return
        # Gathered first: a parser makes a piece of every line end in the data, and each would be a call.
        self._gathered += piece
        if len(self._gathered) >= CHUNK_BYTES:
            self._flush()

    def files(self, decoder: Decoder = IN_PROCESS) -> Iterator[FileBytes | InputError]:
        """The file itself, or the files of the archive that it is; see `files_of`."""
        self._flush()
        return files_of(self._take(), decoder)

    def taken(self) -> bytes:
        """All bytes as one piece; the buffer gives them up."""
        self._flush()
        held = self._take()
        return held.piece(0, len(held))

    def _flush(self) -> None:
        self._held.append(self._gathered)
        self._gathered.clear()

    def _take(self) -> ChunkedFile:
        held, self._held = self._held, ChunkedFile()
        return held
