"""What makes pixels or files of compressed bytes: the decoders of this process, or others behind the same protocol."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import UID

from app.errors import InputError
from app.imaging.archive import archive_files, is_zip
from app.imaging.chunked import LARGE_BYTES, ChunkedFile, FileBytes
from app.imaging.codecs import FrameShape, decode_frame
from app.imaging.formats import HEAD_BYTES
from app.imaging.grey_picture import GreyPicture, read_grey
from app.imaging.picture_parts import PictureKind


class Decoder(Protocol):
    """Decodes what its sender has compressed. Besides what each names, all may raise Undecodable and
    DecoderUnavailable."""

    def frame(self, transfer_syntax: UID, encoded: bytes, shape: FrameShape) -> NDArray[np.generic]:
        """One encapsulated DICOM frame; see `app.imaging.codecs.decode_frame`."""
        ...

    def picture(self, data: bytes, kind: PictureKind, asked: int | None) -> GreyPicture:
        """A page of a picture; see `app.imaging.grey_picture.read_grey`."""
        ...

    def archive(self, archive: ChunkedFile) -> Iterator[FileBytes | InputError]:
        """The files of a zip; see `app.imaging.archive.archive_files`."""
        ...


class InProcess:
    """Decodes in the calling thread: a decoder that crashes ends the process. There is nothing to start or to close."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_of_error: object) -> None:
        self.close()

    def launch(self) -> None:
        """Nothing."""

    def start(self) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""

    def frame(self, transfer_syntax: UID, encoded: bytes, shape: FrameShape) -> NDArray[np.generic]:
        """As the protocol says."""
        return decode_frame(transfer_syntax, encoded, shape)

    def picture(self, data: bytes, kind: PictureKind, asked: int | None) -> GreyPicture:
        """As the protocol says."""
        return read_grey(data, kind, asked)

    def archive(self, archive: ChunkedFile) -> Iterator[FileBytes | InputError]:
        """As the protocol says."""
        return archive_files(archive)


IN_PROCESS: Final = InProcess()


def files_of(file: ChunkedFile, decoder: Decoder = IN_PROCESS) -> Iterator[FileBytes | InputError]:
    """The files of a zip, which shrinks on the way, or the file itself: in blocks, which may shrink too, where it is
    larger than LARGE_BYTES, and whole otherwise. Raises the errors of `archive_files`."""
    if is_zip(file.piece(0, HEAD_BYTES)):
        yield from decoder.archive(file)
    else:
        yield file if len(file) > LARGE_BYTES else file.whole()
