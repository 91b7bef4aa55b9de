"""What is done in a cell, with the decoders that a service without cells runs in its own process."""

from __future__ import annotations

import socket
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import UID

from app.cell.messages import Fields, Message, read, write
from app.errors import InputError
from app.imaging.archive import ArchiveLimits, pieces_of
from app.imaging.chunked import SeekableFile
from app.imaging.codecs import FrameShape, decode_frame
from app.imaging.grey_picture import read_grey

MAX_ASKED_BYTES: Final = 1 << 32  # the service asks for no more than it was sent
WINDOW_BYTES: Final = 1 << 20  # of an archive, asked for at once

Say = Callable[..., None]  # fields, and bytes if there are any


def serve(connection: socket.socket) -> None:
    """Answer what is asked on a connection, until it ends."""
    receive, say = partial(_receive, connection), partial(write, connection.sendall)
    while True:
        try:
            asked = read(receive, MAX_ASKED_BYTES)
        except EOFError:
            return
        try:
            WORK[asked.fields["do"]](asked, receive, say)
        except InputError as error:
            say(_described(error))
        except MemoryError:
            say({"out_of_memory": True})
        # Whatever it is, the service must hear of it; this process is not used again.
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            say({"failed": f"{type(error).__name__} at {place.filename}:{place.lineno}"})


def _receive(connection: socket.socket, size: int) -> bytearray:
    content = bytearray(size)
    view = memoryview(content)
    while view:
        # Without a time-out: to wait with one takes a call (poll) that is refused where no descriptor may be opened.
        got = connection.recv_into(view)
        if not got:
            raise EOFError
        view = view[got:]
    return content


def _described(error: InputError) -> Fields:
    texts = {"found": error.found, "expected": error.expected, "remedy": error.remedy}
    return {"error": type(error).__name__, **texts}


def _frame(asked: Message, _receive: Callable[[int], bytearray], say: Say) -> None:
    fields = asked.fields
    shape = FrameShape(fields["rows"], fields["columns"], fields["bits"])
    _say_values(decode_frame(UID(fields["syntax"]), bytes(asked.payload), shape), say)


def _picture(asked: Message, _receive: Callable[[int], bytearray], say: Say) -> None:
    grey = read_grey(bytes(asked.payload), asked.fields["kind"], asked.fields["asked"])
    _say_values(grey.values, say, pages=grey.pages, page=grey.page)


def _say_values(values: NDArray[np.generic], say: Say, **fields: int) -> None:
    say({"dtype": values.dtype.str, "shape": values.shape, **fields}, np.ascontiguousarray(values))


def _archive(asked: Message, receive: Callable[[int], bytearray], say: Say) -> None:
    archive = _RemoteFile(asked.fields["size"], receive, say)
    for piece in pieces_of(archive, ArchiveLimits()):
        if isinstance(piece, InputError):
            say({**_described(piece), "of": "file"})
        else:
            say({"piece": True}, piece)
    say({"done": True})


class _RemoteFile(SeekableFile):
    """An archive that lies in the service's memory; its pieces are asked for as they are read."""

    def __init__(self, size: int, receive: Callable[[int], bytearray], say: Say) -> None:
        self._size = size
        self._receive = receive
        self._say = say
        self._start, self._window = 0, b""

    def __len__(self) -> int:
        return self._size

    def piece(self, start: int, stop: int) -> bytes:
        """The bytes from `start` to `stop`, asked for a window at a time; raises OSError once they are released."""
        stop = min(stop, self._size)
        if start >= stop:
            return b""
        if not (self._start <= start and stop <= self._start + len(self._window)):
            until = max(stop, min(start + WINDOW_BYTES, self._size))
            self._say({"wanted": [start, until]})
            answer = read(self._receive, MAX_ASKED_BYTES)
            if "released" in answer.fields:
                raise OSError("released")
            self._start, self._window = start, bytes(answer.payload)
        at = start - self._start
        return self._window[at : at + stop - start]

    def release(self, before: int) -> None:
        """Say that nothing `before` will be asked for again."""
        self._say({"release": before})


WORK: Final[dict[str, Callable[[Message, Callable[[int], bytearray], Say], Any]]] = {
    "frame": _frame,
    "picture": _picture,
    "archive": _archive,
}
