"""Files of a zip held in memory, one at a time and bounded. Nothing touches the disk."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from app.errors import ArchiveTooLarge, InputError, MalformedArchive, UnsupportedArchive
from app.imaging.chunked import LARGE_BYTES, ChunkedFile, FileBytes, piece_of
from app.imaging.formats import HEAD_BYTES, is_dicom

ZIP_MAGIC: Final = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")  # a member, an empty archive, a spanned one
# zipfile inflates bzip2 and LZMA without a bound, so a bomb in them could not be stopped.
METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
ENCRYPTED: Final = 0x1  # general purpose bit 0 (APPNOTE 4.4.4)
INFLATED_BYTES: Final = 1 << 20  # at once
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


def files_of(file: ChunkedFile) -> Iterator[FileBytes | InputError]:
    """The files of a zip, which shrinks on the way, or the file itself: in blocks, which may shrink too, where it is
    larger than LARGE_BYTES, and whole otherwise. Raises the errors of `archive_files`."""
    if is_zip(file.piece(0, HEAD_BYTES)):
        yield from archive_files(file)
    else:
        yield file if len(file) > LARGE_BYTES else file.whole()


def archive_files(archive: ChunkedFile, limits: ArchiveLimits | None = None) -> Iterator[FileBytes | InputError]:
    """The files of a zip in the order they lie in it, folders flattened; `archive` is released on the way.

    One that is larger than LARGE_BYTES comes as a ChunkedFile, written while what it was packed in is released.

    In place of a file that cannot be had comes the error that says why: MalformedArchive for what is damaged,
    UnsupportedArchive for encryption, other methods than stored and deflate and an archive in the archive.

    Sizes are enforced on what is inflated, not on what the directory claims. Raises MalformedArchive for a zip without
    a directory, ArchiveTooLarge beyond `limits` or for more than MAX_INFLATION times the bytes that were sent.
    """
    limits = limits or ArchiveLimits()
    opened, members = _open(archive, limits)
    left = _inflated_limit(len(archive), limits.max_total_bytes)
    for ordinal, member in enumerate(members, 1):
        archive.release(member.header_offset)
        limit = min(left, _inflated_limit(member.compress_size, limits.max_file_bytes))
        data = _inflated(archive, opened, member, limit)
        # What is damaged was inflated nevertheless, up to the size that the directory claims.
        left -= min(limit, member.file_size) if isinstance(data, InputError) else len(data)
        if not isinstance(data, InputError) and is_zip(bytes(piece_of(data, 0, HEAD_BYTES))):
            data = _unsupported(f"an archive within the archive (file {ordinal})")
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


def _inflated(
    archive: ChunkedFile, opened: zipfile.ZipFile, member: zipfile.ZipInfo, limit: int
) -> FileBytes | InputError:
    if member.flag_bits & ENCRYPTED:
        return _unsupported("an encrypted archive")
    if member.compress_type not in METHODS:
        return _unsupported(f"a file compressed by method {member.compress_type}")
    try:
        return _read_bounded(archive, opened, member, limit)
    except (ArchiveTooLarge, MemoryError):
        raise
    # zipfile and zlib raise whatever they meet in damaged members.
    except Exception as error:
        return _malformed(f"a zip with a damaged file ({type(error).__name__})")


def _read_bounded(archive: ChunkedFile, opened: zipfile.ZipFile, member: zipfile.ZipInfo, limit: int) -> FileBytes:
    # A size that is not the one stated is an error in the end.
    large = member.file_size > LARGE_BYTES
    blocks: list[bytes] | ChunkedFile = ChunkedFile() if large else []
    size = 0
    with opened.open(member) as stream:
        while block := stream.read(INFLATED_BYTES):
            size += len(block)
            if size > limit:
                raise _too_large(f"an archive that inflates to more than {limit >> 20} MB")
            blocks.append(block)
            if large:
                archive.release(archive.tell())
    if size != member.file_size:
        raise EOFError
    return blocks if isinstance(blocks, ChunkedFile) else b"".join(blocks)


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
