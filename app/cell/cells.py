"""The pool of cells: a decoder whose crash, hang or bomb costs what was being decoded, and nobody else anything."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any, Final, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import UID

from app import errors
from app.cell.cell import Cell, Lost
from app.cell.messages import Fields, Message
from app.cell.template import Template, TemplateLost
from app.errors import DecoderUnavailable, InputError, Undecodable
from app.imaging.archive import END_OF_FILE, INFLATED_BYTES, gathered
from app.imaging.chunked import ChunkedFile, FileBytes
from app.imaging.codecs import FrameShape, require_encodable
from app.imaging.decoder import IN_PROCESS, InProcess
from app.imaging.grey_picture import GreyPicture
from app.imaging.image_size import MAX_SIDE_PX
from app.imaging.picture_parts import PictureKind

MEGABYTE: Final = 1 << 20
MAX_VALUE_BYTES: Final = 2
MAX_PICTURE_BYTES: Final = MAX_SIDE_PX * MAX_SIDE_PX * MAX_VALUE_BYTES
MAX_TEXT: Final = 1000  # characters of an error's text: a file's own are quoted by none
# Ended by somebody else, and not by what it was decoding. The kernel, where memory is short, is somebody else too.
BY_OTHERS: Final = (-signal.SIGKILL, -signal.SIGTERM, 0)
UNSIGNED: Final = ("|u1", "<u2")
INTEGERS: Final = (*UNSIGNED, "|i1", "<i2")
T = TypeVar("T")
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CellLimits:
    """What a cell may take for one file or frame: memory beyond what it starts with, and seconds of CPU time. `idle` is
    the number of cells kept when there is nothing to do."""

    memory_bytes: int = 512 * MEGABYTE
    cpu_s: int = 4
    idle: int = 2


class Cells:
    """Decodes in cells (an `app.imaging.decoder.Decoder`), one for each thread that decodes at a time. Thread-safe.

    A cell that has decoded something is used again; one that has refused something is not. `lost` is called with a
    word for the cause whenever one ends that should not.
    """

    def __init__(self, limits: CellLimits, lost: Callable[[str], Any] = lambda _: None) -> None:
        self._limits = limits
        self._lost = lost
        self._cores = os.sched_getaffinity(0)
        self._lock = threading.Lock()
        self._template: Template | None = None
        self._idle: list[Cell] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_of_error: object) -> None:
        self.close()

    def launch(self) -> None:
        """Begin to start: the decoders are loaded while others go on."""
        with self._lock:
            self._template = self._template or Template(self._limits.memory_bytes, self._cores)

    def start(self) -> None:
        """Have a cell ready, so that the first client does not wait for it."""
        try:
            self._put_back(self._take())
        except DecoderUnavailable as error:
            logger.error("nothing compressed can be decoded now: %s", error)

    def close(self) -> None:
        """End all processes; what is asked for later starts new ones."""
        with self._lock:
            template, self._template = self._template, None
            cells, self._idle = self._idle, []
        for cell in cells:
            cell.connection.close()
        if template is not None:
            template.close()

    def frame(self, transfer_syntax: UID, encoded: bytes, shape: FrameShape) -> NDArray[np.generic]:
        """As `app.imaging.codecs.decode_frame`; also raises Undecodable and DecoderUnavailable."""
        require_encodable(transfer_syntax, encoded, shape)
        sizes = {"rows": shape.rows, "columns": shape.columns, "bits": shape.bits_allocated}
        most = shape.rows * shape.columns * MAX_VALUE_BYTES
        asked = {"do": "frame", "syntax": str(transfer_syntax), **sizes}

        def values_of(answer: Message) -> NDArray[np.generic]:
            values = _values(answer, INTEGERS)
            if values.shape != (shape.rows, shape.columns):
                raise Lost("garbled")
            return values

        return self._asked(asked, encoded, most, values_of)

    def picture(self, data: bytes, kind: PictureKind, asked: int | None) -> GreyPicture:
        """As `app.imaging.grey_picture.read_grey`; also raises Undecodable and DecoderUnavailable."""
        return self._asked({"do": "picture", "kind": kind, "asked": asked}, data, MAX_PICTURE_BYTES, _grey_of)

    def archive(self, archive: ChunkedFile) -> Iterator[FileBytes | InputError]:
        """As `app.imaging.archive.archive_files`; also raises Undecodable and DecoderUnavailable."""
        return gathered(self._pieces(archive))

    def _pieces(self, archive: ChunkedFile) -> Iterator[bytes | InputError]:
        cell, is_whole = self._take(), False
        try:
            cell.tell({"do": "archive", "size": len(archive)})
            while True:
                fields, payload = cell.hear(INFLATED_BYTES)
                match fields:
                    case {"wanted": [int(start), int(stop)]}:
                        _hand_over(cell, archive, start, stop)
                    case {"release": int(before)}:
                        archive.release(before)
                    case {"piece": True}:
                        yield bytes(payload) or END_OF_FILE
                    case {"of": "file"}:
                        yield self._error_of(fields)
                    case {"done": True}:
                        is_whole = True
                        return
                    case _:
                        raise self._error_of(fields)
        except Lost as lost:
            raise self._undecodable(self._cause(cell, lost)) from None
        finally:
            if is_whole:
                self._put_back(cell)
            else:
                self._end(cell)

    def _asked(self, fields: Fields, payload: bytes, max_bytes: int, read: Callable[[Message], T]) -> T:
        """What `read` makes of a cell's answer; another is asked once more where somebody else has ended the first."""
        for is_last in (False, True):
            cell = self._take()
            try:
                answer = cell.ask(fields, payload, max_bytes)
                result = read(answer) if "shape" in answer.fields else None
            except Lost as lost:
                cause = self._cause(cell, lost)
                if is_last or cause != "killed":
                    raise self._undecodable(cause) from None
                continue
            if result is not None:
                self._put_back(cell)
                return result
            self._end(cell)
            raise self._error_of(answer.fields)
        raise AssertionError("unreachable")

    def _error_of(self, fields: Fields) -> InputError:
        """The error that a cell describes: one of those that are raised on purpose, or Undecodable."""
        kind = getattr(errors, str(fields.get("error")), None)
        if isinstance(kind, type) and issubclass(kind, InputError):
            texts = {name: str(fields.get(name))[:MAX_TEXT] for name in ("found", "expected", "remedy")}
            return kind(**texts)
        if "out_of_memory" in fields:
            return self._undecodable("memory")
        logger.error("a decoder failed: %s", str(fields.get("failed"))[:MAX_TEXT])
        return self._undecodable("failed")

    def _take(self) -> Cell:
        while True:
            with self._lock:
                cell = self._idle.pop() if self._idle else None
            if cell is None:
                return self._new()
            if cell.is_fit():
                return cell
            self._cause(cell, Lost())

    def _new(self) -> Cell:
        for _ in range(2):  # the second time by a template of its own, if the first is lost
            with self._lock:
                template = self._template = self._template or Template(self._limits.memory_bytes, self._cores)
            try:
                return Cell(*template.fork(), self._limits.cpu_s)
            except TemplateLost:
                self._lost("template")
                logger.warning("the process that decoders are forked from is lost, and replaced")
                self._forget(template)
        raise DecoderUnavailable(
            found="no process to decode in",
            expected="memory and processes to spare for one",
            remedy="Try again after the seconds in Retry-After.",
        )

    def _forget(self, template: Template) -> None:
        with self._lock:
            if self._template is not template:
                return
            self._template = None
        template.close()

    def _put_back(self, cell: Cell) -> None:
        with self._lock:
            if len(self._idle) < self._limits.idle and self._template is not None:
                self._idle.append(cell)
                return
        self._end(cell)

    def _end(self, cell: Cell) -> int:
        cell.connection.close()
        with self._lock:
            template = self._template
        return 0 if template is None else template.end(cell.pid)

    def _cause(self, cell: Cell, lost: Lost) -> str:
        """End a lost cell, log and count it; the word for why."""
        code = self._end(cell)
        if lost.cause is not None:
            cause: str = lost.cause
        elif code == -signal.SIGXCPU:
            cause = "time"
        else:
            cause = "killed" if code in BY_OTHERS else "crash"
        self._lost(cause)
        logger.warning("a decoder has ended (%s, %d) and is replaced", cause, code)
        return cause

    def _undecodable(self, cause: str) -> Undecodable:
        limits = self._limits
        found = {
            "time": f"compressed data that take more than {limits.cpu_s} s to decode",
            "memory": f"compressed data that take more than {limits.memory_bytes // MEGABYTE} MB to decode",
        }
        return Undecodable(
            found=found.get(cause, "compressed data at which the decoder stops"),
            expected="data that decode as they are",
            remedy="Send the file as the modality or the archive wrote it, or without compression.",
        )


def _hand_over(cell: Cell, archive: ChunkedFile, start: int, stop: int) -> None:
    try:
        cell.tell({}, archive.piece(start, min(stop, start + 4 * MEGABYTE)))
    except OSError:
        cell.tell({"released": True})


def _values(answer: Message, dtypes: Collection[str]) -> NDArray[Any]:
    """The array in an answer, which is believed in nothing; raises Lost."""
    dtype = answer.fields.get("dtype")
    if dtype not in dtypes:
        raise Lost("garbled")
    try:
        return np.frombuffer(answer.payload, dtype).reshape(answer.fields["shape"])
    except (TypeError, ValueError):
        raise Lost("garbled") from None


def _grey_of(answer: Message) -> GreyPicture:
    values = _values(answer, UNSIGNED)
    pages, page = answer.fields.get("pages"), answer.fields.get("page")
    if values.ndim != 2 or max(values.shape) > MAX_SIDE_PX or not isinstance(pages, int) or not isinstance(page, int):
        raise Lost("garbled")
    return GreyPicture(values, pages, page)


def decoder_of(decoding: str, limits: CellLimits, lost: Callable[[str], Any] = lambda _: None) -> Cells | InProcess:
    """What decodes: cells, or for `process`, and on other systems than Linux, this process."""
    if decoding == "cell" and sys.platform == "linux":
        return Cells(limits, lost)
    if decoding == "cell":
        logger.warning("compressed data are decoded in the process that answers: cells need Linux")
    return IN_PROCESS
