"""Files in memory, whole or such as shrink while they are read: what was sent makes room for what is made of it."""

from __future__ import annotations

import io
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable
from functools import partial
from mmap import MADV_DONTNEED, PAGESIZE, mmap
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

from app.errors import ArchiveTooLarge
from app.imaging.memory import mapped

BLOCK_BYTES: Final = 1 << 20
LARGE_BYTES: Final = 12 << 20  # a slice of the largest size has 8; what has more is multi-frame and shrinks on the way
MAX_READ_BYTES: Final = 2 << 20  # zipfile reads the directory at once: 300 bytes for each of 7,000 members


class SeekableFile(ABC):
    """A file of which any piece can be had, until it is released, read as a stream: what zipfile asks for."""

    _at = 0

    @abstractmethod
    def __len__(self) -> int:
        """Bytes in all."""

    @abstractmethod
    def piece(self, start: int, stop: int) -> bytes:
        """The bytes from `start` up to `stop`, as far as there are; raises OSError for released ones."""

    @abstractmethod
    def release(self, before: int) -> None:
        """Say that nothing before this place is read any more."""

    def seekable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """The place that is read next."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move to a place; raises OSError for one before the beginning, as files do."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: len(self)}[whence]
        if start + offset < 0:
            raise OSError("before the beginning")
        self._at = start + offset
        return self._at

    def read(self, size: int = -1, /) -> bytes:
        """At most `size` bytes from here; raises ArchiveTooLarge for more than MAX_READ_BYTES, OSError for released."""
        end = min(len(self), self._at + size if size >= 0 else len(self))
        if end - self._at > MAX_READ_BYTES:
            raise ArchiveTooLarge(
                found=f"an archive whose directory takes more than {MAX_READ_BYTES >> 20} MB",
                expected="the files of one CT series",
                remedy="Send one series at a time, without other files.",
            )
        piece = self.piece(self._at, end)
        self._at += len(piece)
        return piece


class ChunkedFile(SeekableFile):
    """A file in memory that is written at its end, read anywhere, and given back from its beginning.

    Its blocks are mappings of their own: the operating system has them back at once, which is not so for what is
    merely freed.
    """

    def __init__(self, pieces: Iterable[bytes] = (), block_bytes: int = BLOCK_BYTES) -> None:
        self._block_bytes = block_bytes
        self._blocks: list[mmap | None] = []
        self._size = self._released = 0
        for piece in pieces:
            self.append(piece)

    @classmethod
    def at(cls, path: Path) -> ChunkedFile:
        """What a file on the disk holds; raises OSError."""
        with path.open("rb") as stream:
            return cls(iter(partial(stream.read, BLOCK_BYTES), b""))

    def __len__(self) -> int:
        """Bytes that were written, released ones included."""
        return self._size

    @property
    def held_bytes(self) -> int:
        """Bytes of memory it takes."""
        return len(self._blocks) * self._block_bytes - self._released

    def append(self, piece: bytes | bytearray | memoryview) -> None:
        """Write at the end."""
        rest = memoryview(piece)
        while rest:
            start = self._size % self._block_bytes
            if start == 0:
                self._blocks.append(mapped(self._block_bytes))
            part = rest[: self._block_bytes - start]
            self._held(len(self._blocks) - 1)[start : start + len(part)] = part
            self._size += len(part)
            rest = rest[len(part) :]

    def piece(self, start: int, stop: int) -> bytes:
        """A copy of the bytes from `start` up to `stop`, as far as there are; raises OSError for released ones."""
        stop, pieces = min(stop, self._size), []
        if start < min(stop, self._released):
            raise OSError("released")
        while start < stop:
            index, first = divmod(start, self._block_bytes)
            pieces.append(self._held(index)[first : min(self._block_bytes, first + stop - start)])
            start += len(pieces[-1])
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def whole(self) -> bytes | memoryview:
        """All bytes: where they lie in one block a view, which keeps it, and otherwise a copy; raises OSError for
        released ones."""
        if len(self._blocks) == 1 and not self._released:
            return memoryview(self._held(0))[: self._size]
        return self.piece(0, self._size)

    def release(self, before: int) -> None:
        """Give back the blocks that end at or before this place, and the pages of the next that do."""
        if before >= self._size:
            before = len(self._blocks) * self._block_bytes
        if before <= self._released:
            return
        done, rest = divmod(before, self._block_bytes)
        for index in range(self._released // self._block_bytes, done):
            self._blocks[index] = None
        if pages := rest - rest % PAGESIZE:
            self._held(done).madvise(MADV_DONTNEED, 0, pages)
        self._released = done * self._block_bytes + pages

    def _held(self, index: int) -> mmap:
        block = self._blocks[index]
        if block is None:
            raise OSError("released")
        return block


FileBytes = bytes | memoryview | ChunkedFile


def piece_of(file: FileBytes, start: int, stop: int) -> bytes | memoryview:
    """The bytes of a file from `start` up to `stop`, as far as there are; of one that is whole, a view."""
    return file.piece(start, stop) if isinstance(file, ChunkedFile) else memoryview(file)[start:stop]


def stream_of(file: FileBytes) -> BinaryIO:
    """A stream over a file, at its beginning; nothing is copied."""
    return io.BytesIO(file) if isinstance(file, bytes) else stream_within(file, 0, len(file))


def stream_within(file: FileBytes, start: int, stop: int) -> BinaryIO:
    """A stream over the bytes of a file from `start` up to `stop`; nothing is copied."""
    return cast(BinaryIO, io.BufferedReader(_Raw(file, start, stop)))


class _Raw(io.RawIOBase):
    """What `io.BufferedReader` reads a part of a file through."""

    name = ""  # pydicom asks for it

    def __init__(self, file: FileBytes, start: int, stop: int) -> None:
        self._file = file
        self._start = start
        self._size = stop - start
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        stop = min(self._at + len(buffer), self._size)
        piece = piece_of(self._file, self._start + self._at, self._start + stop)
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        at = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence] + offset
        if at < 0:
            raise OSError("before the beginning")
        self._at = at
        return at
