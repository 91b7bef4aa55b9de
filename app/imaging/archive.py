"""Files of a zip held in memory, one at a time and bounded. Nothing touches the disk."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from app.errors import ArchiveTooLarge, InputError, MalformedArchive, UnsupportedArchive
from app.imaging.chunked import LARGE_BYTES, ChunkedFile, FileBytes, SeekableFile
from app.imaging.formats import HEAD_BYTES, is_dicom

ZIP_MAGIC: Final = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")  # a member, an empty archive, a spanned one
# zipfile inflates bzip2 and LZMA without a bound, so a bomb in them could not be stopped.
METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
ENCRYPTED: Final = 0x1  # general purpose bit 0 (APPNOTE 4.4.4)
INFLATED_BYTES: Final = 1 << 20  # at once
END_OF_FILE: Final = b""  # after the last piece of each file
MAX_INFLATION: Final = 100  # deflate reaches 1032 on zeros, 2 to 5 on CT
SMALL_BYTES: Final = 16 << 20  # an empty slice of the largest size inflates beyond MAX_INFLATION


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    """Most files, bytes of one file and bytes of all files together, both inflated."""

    max_files: int = 5000
    max_file_bytes: int = 1 << 30
    max_total_bytes: int = 2 << 30


def is_zip(start: bytes) -> bool:
    """Whether a file that begins with `start` is a zip archive: HEAD_BYTES or all of it, or 4 bytes where it is known
    to be no DICOM file, for whose preamble may begin as one (PS3.10 7.1)."""
    return start.startswith(ZIP_MAGIC) and not is_dicom(start)


def archive_files(archive: ChunkedFile, limits: ArchiveLimits | None = None) -> Iterator[FileBytes | InputError]:
    """The files of a zip in the order they lie in it, folders flattened; `archive` is released on the way.

    One that is larger than LARGE_BYTES comes as a ChunkedFile, written while what it was packed in is released.

    In place of a file that cannot be had comes the error that says why: MalformedArchive for what is damaged,
    UnsupportedArchive for encryption, other methods than stored and deflate and an archive in the archive.

    Sizes are enforced on what is inflated, not on what the directory claims. Raises MalformedArchive for a zip without
    a directory, ArchiveTooLarge beyond `limits` or for more than MAX_INFLATION times the bytes that were sent.
    """
    return gathered(pieces_of(archive, limits or ArchiveLimits()))


def pieces_of(archive: SeekableFile, limits: ArchiveLimits) -> Iterator[bytes | InputError]:
    """The files of a zip, each in pieces of at most INFLATED_BYTES and then END_OF_FILE, or an error in place of what
    is left of it; see `archive_files`."""
    opened, members = _open(archive, limits)
    left = _inflated_limit(len(archive), limits.max_total_bytes)
    for ordinal, member in enumerate(members, 1):
        archive.release(member.header_offset)
        limit, taken = min(left, _inflated_limit(member.compress_size, limits.max_file_bytes)), 0
        for piece in _pieces_of_member(archive, opened, member, limit, ordinal):
            # What is damaged was inflated nevertheless, up to the size that the directory claims.
            taken = min(limit, member.file_size) if isinstance(piece, InputError) else taken + len(piece)
            yield piece
        left -= taken
    archive.release(len(archive))


def gathered(pieces: Iterable[bytes | InputError]) -> Iterator[FileBytes | InputError]:
    """The files that come in `pieces` (`pieces_of`), one at a time."""
    blocks, size = list[bytes](), 0
    large: ChunkedFile | None = None
    for piece in pieces:
        size += 0 if isinstance(piece, InputError) else len(piece)
        if isinstance(piece, bytes) and piece:
            if size > LARGE_BYTES and large is None:
                large, blocks = ChunkedFile(blocks), []
            (blocks if large is None else large).append(piece)
            continue
        done = piece if isinstance(piece, InputError) else b"".join(blocks) if large is None else large
        blocks, size, large = [], 0, None
        yield done


def _open(archive: SeekableFile, limits: ArchiveLimits) -> tuple[zipfile.ZipFile, list[zipfile.ZipInfo]]:
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


def _pieces_of_member(
    archive: SeekableFile, opened: zipfile.ZipFile, member: zipfile.ZipInfo, limit: int, ordinal: int
) -> Iterator[bytes | InputError]:
    if member.flag_bits & ENCRYPTED:
        yield _unsupported("an encrypted archive")
    elif member.compress_type not in METHODS:
        yield _unsupported(f"a file compressed by method {member.compress_type}")
    else:
        try:
            yield from _inflated(archive, opened, member, limit, ordinal)
        except UnsupportedArchive as error:
            yield error
        except (ArchiveTooLarge, MemoryError):
            raise
        # zipfile and zlib raise whatever they meet in damaged members.
        except Exception as error:
            yield _malformed(f"a zip with a damaged file ({type(error).__name__})")


def _inflated(
    archive: SeekableFile, opened: zipfile.ZipFile, member: zipfile.ZipInfo, limit: int, ordinal: int
) -> Iterator[bytes]:
    large = member.file_size > LARGE_BYTES
    size = 0
    with opened.open(member) as stream:
        while block := stream.read(INFLATED_BYTES):
            if not size and is_zip(block[:HEAD_BYTES]):
                raise _unsupported(f"an archive within the archive (file {ordinal})")
            size += len(block)
            if size > limit:
                raise _too_large(f"an archive that inflates to more than {limit >> 20} MB")
            yield block
            if large:
                archive.release(archive.tell())
    # A size that is not the one stated is an error in the end.
    if size != member.file_size:
        raise EOFError
    yield END_OF_FILE


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
