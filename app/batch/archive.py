"""What lies in an archive: its CT files, one after the other, each with the series that it belongs to.

Of each file only the header is read, and of a zip the first bytes. Nothing is kept but the names in the folder at hand.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from app.errors import InputError, StartupError
from app.imaging.archive import is_zip
from app.imaging.dicom import CT_SOP_CLASSES, LOCALIZER
from app.imaging.formats import HEAD_BYTES, is_dicom
from app.imaging.header import Header, malformed, read_attributes

KEYWORDS: Final = ("SOPClassUID", "Modality", "ImageType", "SeriesInstanceUID", "NumberOfFrames")
COMMENT: Final = "#"


class Sighting(NamedTuple):
    """A file that counts. Those with one `series` are judged together; `series` is None of one that is judged alone: a
    zip, a multi-frame image, a file that states no series. With an `error`: one that cannot be read."""

    path: Path
    series: str | None = None
    error: Exception | None = None


def sources_of(source: Path) -> Iterator[Path]:
    """The folders and files that a source names: itself, or the lines of an index; raises StartupError, OSError.

    An index is a file of text. A line names a folder, a zip or a DICOM file, seen from the index's folder.
    """
    if _is_folder(source) or not _is_text(_head(source)):
        yield source
        return
    with source.open(encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            name = line.strip("\r\n")
            if name.strip() and not name.startswith(COMMENT):
                yield Path(os.path.normpath(source.parent / name))


def _is_folder(path: Path) -> bool:
    return os.path.isdir(path)  # noqa: PTH112  # Path.is_dir raises where it may not look


def sightings(source: Path, kept_out: Path) -> Iterator[Sighting | None]:
    """The files of a folder, and of those below but `kept_out`, or a file itself; None for each that does not count.

    Folders and names come in the order of their characters, so that two walks see the same. Links to files are
    followed, links to folders are not, as they may lead round. Names that begin with a dot do not count.
    """
    if not _is_folder(source):
        yield sighting(source)
        return
    unread: list[OSError] = []
    for here, folders, names in os.walk(source, onerror=unread.append):
        folders[:] = sorted(name for name in folders if Path(here, name) != kept_out)
        for name in sorted(names):
            yield None if name.startswith(".") else sighting(Path(here, name))
    for error in unread:
        yield Sighting(Path(error.filename or source), error=error)


def sighting(path: Path) -> Sighting | None:
    """What a file is; None for what is no CT image, and for a scout view."""
    try:
        head = _head(path)
        if is_zip(head):
            return Sighting(path)
        if not is_dicom(head):
            return None
        with path.open("rb") as stream:
            dataset = read_attributes(stream, KEYWORDS)
        return _image(path, Header(dataset), Header(dataset.file_meta))
    except (InputError, OSError) as error:
        return Sighting(path, error=error)


def _image(path: Path, header: Header, meta: Header) -> Sighting | None:
    kind = header.text("SOPClassUID") or meta.text("MediaStorageSOPClassUID")
    if kind is None:
        raise malformed("SOPClassUID", "the kind of the object")
    is_ct = kind in CT_SOP_CLASSES and header.text("Modality") == "CT"
    if not is_ct or header.texts("ImageType")[2:3] == (LOCALIZER,):
        return None
    frames = header.text("NumberOfFrames")
    return Sighting(path, header.text("SeriesInstanceUID") if frames in (None, "1") else None)


def _head(path: Path) -> bytes:
    """The first bytes of a file; raises OSError, for what has no end or is read only once too."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "Not a regular file")
    with path.open("rb") as stream:
        return stream.read(HEAD_BYTES)


def _is_text(head: bytes) -> bool:
    if is_zip(head) or is_dicom(head):
        return False
    if not head or b"\0" in head:
        raise StartupError(
            found="a file that is neither zip nor DICOM nor text",
            expected="a folder, a zip, or a text file with one of either on each line",
            remedy="Name the folder that holds the archive.",
        )
    return True
