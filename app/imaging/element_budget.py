"""Bounds on what a DICOM file may be made of: elements, sequence items and how deep they nest.

pydicom makes an object of each, at a hundred times the bytes of the shortest: 24 MB of empty items would take 3 GB and
minutes. It reads each from a stream and asks for their heads by 8 bytes, so that the stream can count them.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from io import BytesIO
from typing import Any, BinaryIO, Final

from pydicom.filereader import read_sequence

from app.errors import DicomTooComplex
from app.imaging.chunked import BLOCK_BYTES, FileBytes, piece_of

MAX_ELEMENTS: Final = 200_000  # an Enhanced CT of 4,000 frames with 50 each; half a second of pydicom
MAX_ITEMS: Final = 20_000  # an Enhanced CT of 2,000 frames has 8 items for each; half a second of pydicom
MAX_DISORDER: Final = 500  # elements out of ascending order (PS3.5 7.1): some writers misplace a few
MAX_FRAGMENTS: Final = 50_000  # of encapsulated Pixel Data: five for each frame of the longest scan
MAX_OFFSETS: Final = 10_000  # in their table: a frame each
COUNTED_BYTES: Final = 32 << 20  # twenty milliseconds
HEAD_BYTES: Final = 8  # of an element or an item (PS3.5 7.1.2, 7.5)
ITEMS: Final = (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00")  # little and big endian
FIRST_GROUP: Final = 0x0002  # lower ones are of messages (PS3.7), never of files
REMEDY: Final = "Send the image as the modality wrote it, without private tables."


class ElementBudget:
    """The elements and items that may still be read of one file."""

    def __init__(self) -> None:
        self._elements = MAX_ELEMENTS
        self._items = MAX_ITEMS

    def spend(self, head: bytes) -> None:
        """Count what begins with `head`; raises DicomTooComplex where it is one too many."""
        self._elements -= 1
        if head.startswith(ITEMS):
            self._items -= 1
        if self._items < 0:
            raise too_complex(f"more than {MAX_ITEMS} sequence items", f"at most {MAX_ITEMS}")
        if self._elements < 0:
            raise too_complex(f"more than {MAX_ELEMENTS} elements", f"at most {MAX_ELEMENTS}")


# Of the file that was parsed last in this context: sequences of defined length are read when they are asked for.
_current: ContextVar[ElementBudget | None] = ContextVar("element_budget", default=None)


class CountedStream:
    """A stream over a DICOM file that spends a budget for what is read from it."""

    name = ""  # pydicom asks for it

    def __init__(self, stream: BinaryIO, budget: ElementBudget | None = None) -> None:
        self._read = stream.read
        self._spend = (budget or begin_budget()).spend
        self.tell = stream.tell
        self.seek = stream.seek

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes; raises DicomTooComplex for one head of an element or item too many."""
        data = self._read(size)
        if size == HEAD_BYTES:
            self._spend(data)
        return data


def begin_budget() -> ElementBudget:
    """A budget for the next file that is read in this context."""
    budget = ElementBudget()
    _current.set(budget)
    return budget


def counted_sequence(raw: Any, encoding: Any) -> Any:  # what pydicom hands to its hooks
    """The items of a sequence of defined length, read within the budget of its file; raises DicomTooComplex."""
    stream: Any = CountedStream(BytesIO(raw.value), _current.get() or begin_budget())
    try:
        return read_sequence(stream, raw.is_implicit_VR, raw.is_little_endian, len(raw.value), encoding, raw.value_tell)
    except OSError as error:
        raise (complexity_in(error) or error) from None


def complexity_in(error: BaseException) -> DicomTooComplex | None:
    """The error of a budget that is spent, or of the interpreter's depth, in what pydicom made of it: it says OSError
    of whatever stops an item."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, DicomTooComplex):
            return found
        if isinstance(found, RecursionError):
            return too_complex("sequences within sequences beyond count", "a few levels")
        found = found.__context__
    return None


def refuse_many_items(file: FileBytes) -> None:
    """Raise DicomTooComplex for a file with far more items than are read, before pydicom makes an object of any.

    It looks for the bytes that items begin with, which pixels hardly ever hold, in the first COUNTED_BYTES.
    """
    found = 0
    for start in range(0, min(len(file), COUNTED_BYTES), BLOCK_BYTES):
        piece = bytes(piece_of(file, start, start + BLOCK_BYTES))
        found += sum(map(piece.count, ITEMS))
        if found > MAX_ITEMS + MAX_FRAGMENTS:
            raise too_complex(f"more than {MAX_ITEMS + MAX_FRAGMENTS} items", f"at most {MAX_ITEMS}")


def in_order(stop_when: Callable[[Any, str | None, int], bool]) -> Callable[[Any, str | None, int], bool]:
    """`stop_when` for pydicom, which asks it before each element; raises ValueError for one that no file has, and
    DicomTooComplex for many that are out of order."""
    last = disorder = 0

    def checked(tag: Any, vr: str | None, length: int) -> bool:
        nonlocal last, disorder
        if tag >> 16 < FIRST_GROUP:
            raise ValueError("group")
        if tag <= last:
            disorder += 1
            if disorder > MAX_DISORDER:
                raise too_complex(f"more than {MAX_DISORDER} elements out of order", "ascending tags (PS3.5 7.1)")
        last = int(tag)
        return stop_when(tag, vr, length)

    return checked


def too_complex(found: str, expected: str) -> DicomTooComplex:
    """The error for a file of more parts than are read."""
    return DicomTooComplex(found=found, expected=expected, remedy=REMEDY)
