"""Files of a zip held in memory, one at a time and bounded. Nothing touches the disk."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from mmap import mmap
from typing import Final

from app.errors import ArchiveTooLarge, MalformedArchive, UnsupportedArchive

ZIP_MAGIC: Final = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")  # a member, an empty archive, a spanned one
# zipfile inflates bzip2 and LZMA without a bound, so a bomb in them could not be stopped.
METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
ENCRYPTED: Final = 0x1  # general purpose bit 0 (APPNOTE 4.4.4)
BLOCK_BYTES: Final = 4 << 20
INFLATED_BYTES: Final = 1 << 20  # at once
MAX_READ_BYTES: Final = 2 << 20  # zipfile reads the directory at once: 300 bytes for each of 7,000 members
MAX_INFLATION: Final = 100  # deflate reaches 1032 on zeros, 2 to 5 on CT
SMALL_BYTES: Final = 16 << 20  # an empty slice of the largest size inflates beyond MAX_INFLATION


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    """Most files, bytes of one file and bytes of all files together, both inflated."""

    max_files: int = 5000
    max_file_bytes: int = 1 << 30
    max_total_bytes: int = 2 << 30


class ChunkedFile:
    """A file in memory that is written at its end, read anywhere, and given back from its beginning.

    So what was sent shrinks while what is made of it grows. Its blocks are mappings of their own: the operating
    system has them back at once, which is not so for what is merely freed.
    """

    def __init__(self, pieces: Iterable[bytes] = (), block_bytes: int = BLOCK_BYTES) -> None:
        self._block_bytes = block_bytes
        self._blocks: list[mmap | None] = []
        self._size = self._at = 0
        for piece in pieces:
            self.append(piece)

    def __len__(self) -> int:
        """Bytes that were written, released ones included."""
        return self._size

    @property
    def held_bytes(self) -> int:
        """Bytes of memory it takes."""
        return sum(block is not None for block in self._blocks) * self._block_bytes

    def append(self, piece: bytes | memoryview) -> None:
        """Write at the end."""
        rest = memoryview(piece)
        while rest:
            start = self._size % self._block_bytes
            if start == 0:
                self._blocks.append(mmap(-1, self._block_bytes))
            part = rest[: self._block_bytes - start]
            self._held(len(self._blocks) - 1)[start : start + len(part)] = part
            self._size += len(part)
            rest = rest[len(part) :]

    def seekable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """The place that is read next."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move to a place; raises OSError for one before the beginning, as files do."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        if start + offset < 0:
            raise OSError("before the beginning")
        self._at = start + offset
        return self._at

    def read(self, size: int = -1, /) -> bytes:
        """At most `size` bytes from here; raises ArchiveTooLarge for more than MAX_READ_BYTES, OSError for released."""
        end = min(self._size, self._at + size if size >= 0 else self._size)
        if end - self._at > MAX_READ_BYTES:
            raise _too_large(f"an archive whose directory takes more than {MAX_READ_BYTES >> 20} MB")
        pieces: list[bytes] = []
        while self._at < end:
            index, start = divmod(self._at, self._block_bytes)
            pieces.append(self._held(index)[start : min(self._block_bytes, start + end - self._at)])
            self._at += len(pieces[-1])
        return b"".join(pieces)

    def release(self, before: int) -> None:
        """Give back the blocks that end at or before this place."""
        done = len(self._blocks) if before >= self._size else before // self._block_bytes
        for index, block in enumerate(self._blocks[:done]):
            if block is not None:
                block.close()
                self._blocks[index] = None

    def _held(self, index: int) -> mmap:
        block = self._blocks[index]
        if block is None:
            raise OSError("released")
        return block


def is_zip(start: bytes) -> bool:
    """Whether a file that begins with `start` (4 bytes or more) is a zip archive."""
    return start.startswith(ZIP_MAGIC)


def archive_files(archive: ChunkedFile, limits: ArchiveLimits | None = None) -> Iterator[bytes]:
    """The files of a zip in the order they lie in it, folders flattened; `archive` is released on the way.

    Sizes are enforced on what is inflated, not on what the directory claims. Raises MalformedArchive for what is
    damaged, UnsupportedArchive for encryption, other methods than stored and deflate and an archive in the archive,
    ArchiveTooLarge beyond `limits` or for more than MAX_INFLATION times the bytes that were sent.
    """
    limits = limits or ArchiveLimits()
    opened, members = _open(archive, limits)
    left = _inflated_limit(len(archive), limits.max_total_bytes)
    for ordinal, member in enumerate(members, 1):
        archive.release(member.header_offset)
        data = _inflate(opened, member, min(left, _inflated_limit(member.compress_size, limits.max_file_bytes)))
        if is_zip(data[:4]):
            raise _unsupported(f"an archive within the archive (file {ordinal})")
        left -= len(data)
        yield data
    archive.release(len(archive))


def _open(archive: ChunkedFile, limits: ArchiveLimits) -> tuple[zipfile.ZipFile, list[zipfile.ZipInfo]]:
    try:
        opened = zipfile.ZipFile(archive)
        members = [member for member in opened.infolist() if not member.is_dir()]
    except (ArchiveTooLarge, MemoryError):
        raise
    # zipfile raises whatever it meets in a damaged directory.
    except Exception as error:
        raise _malformed(f"a zip without a readable directory ({type(error).__name__})") from None
    if len(members) > limits.max_files:
        raise _too_large(f"{len(members)} files in the archive, of {limits.max_files} at most")
    return opened, sorted(members, key=lambda member: member.header_offset)


def _inflated_limit(sent_bytes: int, most_bytes: int) -> int:
    return min(most_bytes, max(SMALL_BYTES, MAX_INFLATION * sent_bytes))


def _inflate(opened: zipfile.ZipFile, member: zipfile.ZipInfo, limit: int) -> bytes:
    if member.flag_bits & ENCRYPTED:
        raise _unsupported("an encrypted archive")
    if member.compress_type not in METHODS:
        raise _unsupported(f"a file compressed by method {member.compress_type}")
    try:
        return _read_bounded(opened, member, limit)
    except (ArchiveTooLarge, MemoryError):
        raise
    # zipfile and zlib raise whatever they meet in damaged members.
    except Exception as error:
        raise _malformed(f"a zip with a damaged file ({type(error).__name__})") from None


def _read_bounded(opened: zipfile.ZipFile, member: zipfile.ZipInfo, limit: int) -> bytes:
    blocks: list[bytes] = []
    size = 0
    with opened.open(member) as stream:
        while block := stream.read(INFLATED_BYTES):
            blocks.append(block)
            size += len(block)
            if size > limit:
                raise _too_large(f"an archive that inflates to more than {limit >> 20} MB")
    if size != member.file_size:
        raise EOFError
    return b"".join(blocks)


def _malformed(found: str) -> MalformedArchive:
    return MalformedArchive(
        found=found,
        expected="a complete zip archive",
        remedy="Check it with `unzip -t` and send it again; it may have been cut short.",
    )


def _too_large(found: str) -> ArchiveTooLarge:
    return ArchiveTooLarge(
        found=found,
        expected="the files of one CT series",
        remedy="Send one series at a time, without other files.",
    )


def _unsupported(found: str) -> UnsupportedArchive:
    return UnsupportedArchive(
        found=found,
        expected="DICOM files in one zip, stored or deflated, not encrypted",
        remedy="Pack the files themselves again with an ordinary zip program.",
    )
