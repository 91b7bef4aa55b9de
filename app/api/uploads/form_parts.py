"""The parts of a form (RFC 7578), each as soon as it is complete, in memory only."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from app.api.uploads.file_buffer import FileBuffer
from app.api.uploads.multipart import MAX_PARTS, MultipartReader, malformed, part_options, too_large
from app.errors import FileMissing, MalformedForm

MAX_FIELDS: Final = 32
MAX_FIELD_BYTES: Final = 4096
# Parameters that are texts, with or without a file name, and their most bytes.
TEXTS: Final = {"report": 1024 * 1024, "context": MAX_FIELD_BYTES}
MANY_PARTS: Final = 64  # at once: a millisecond
TURN_BYTES: Final = 8 * 1024  # of small parts, before others have their turn
ONE_FILE: Final = "one file, under any field name"
ADD_ONE: Final = "With curl: -F file=@slice.dcm (mind the @). Send several slices one by one."


class Content(Protocol):
    """Takes the bytes of one part."""

    def __len__(self) -> int:
        """Bytes received."""
        ...

    def append(self, piece: memoryview, /) -> None:
        """Add the next bytes."""
        ...

    def taken(self) -> bytes | memoryview:
        """All bytes as one piece; the content gives them up."""
        ...


C = TypeVar("C", bound=Content)


class Pieces:
    """Content that stays where it lies in the body: one piece if the body came in one. It keeps the body in memory."""

    def __init__(self) -> None:
        self._pieces: list[memoryview] = []
        self._size = 0

    def __len__(self) -> int:
        """Bytes received."""
        return self._size

    def append(self, piece: memoryview, /) -> None:
        """Add the next bytes."""
        self._pieces.append(piece)
        self._size += len(piece)

    def taken(self) -> bytes | memoryview:
        """All bytes as one piece; the content gives them up."""
        pieces, self._pieces, self._size = self._pieces, [], 0
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


@dataclass(frozen=True, slots=True, eq=False)
class File(Generic[C]):
    """A part that is a file."""

    content: C
    name: str = ""


@dataclass(frozen=True, slots=True)
class Field:
    """A part that is a parameter."""

    name: str
    text: str


class _Collector(Generic[C]):
    """The sink of a form: puts complete parts into `complete`.

    A part with a file name is a file, but the name is optional (RFC 7578 4.2). A part without one is a parameter if it
    has the name of a parameter. Any other is a file if its type is not text, or if its content is not short text.
    """

    def __init__(self, parameters: Collection[str], content: Callable[[], C], most_files: float = math.inf) -> None:
        self.complete: deque[File[C] | Field] = deque()
        self._parameters = parameters
        self._new_content = content
        self._content = content()
        self._name = ""
        self._is_file: bool | None = None  # its content will tell
        self._fields = self._files = 0
        self._most_files = most_files

    def begin(self, headers: Mapping[str, str]) -> None:
        disposition = headers.get("content-disposition", "")
        name = part_options(disposition)[1].get(b"name", b"")
        if not name:
            raise malformed("a part without a name")
        self._name = name.decode("utf-8", "replace")
        self._is_file = self._looks_like_a_file(disposition, headers.get("content-type", ""))
        self._content = self._new_content()

    def write(self, data: memoryview) -> None:
        self._content.append(data)
        most = TEXTS.get(self._name, MAX_FIELD_BYTES)
        if self._is_file is False and len(self._content) > most:
            raise too_large(f"a field of more than {most} bytes", f"{most} bytes")

    def end(self) -> None:
        content, self._content = self._content, self._new_content()
        if self._is_file or (self._is_file is None and len(content) > MAX_FIELD_BYTES):
            self._add_file(content)
            return
        data = bytes(content.taken())
        text = _text(data)
        if text is not None:
            self._add_field(text)
        elif self._is_file is False:
            raise MalformedForm(
                found="a field that is no text",
                expected="UTF-8 text (RFC 7578 5.1.2)",
                remedy="Send it as UTF-8.",
            )
        else:
            content.append(memoryview(data))
            self._add_file(content)

    def _looks_like_a_file(self, disposition: str, content_type: str) -> bool | None:
        if self._name in TEXTS and self._name in self._parameters:
            return False
        # RFC 7578 forbids filename* and some write it; python-multipart leaves it out.
        if b"filename" in part_options(disposition)[1] or "filename*" in disposition.lower():
            return True
        if self._name in self._parameters:
            return False
        kind = part_options(content_type)[0]
        return True if kind not in (b"", b"text/plain") else None

    def _add_file(self, content: C) -> None:
        self._files += 1
        if self._files > self._most_files:
            raise FileMissing(found=f"more than {self._most_files} file part", expected=ONE_FILE, remedy=ADD_ONE)
        self.complete.append(File(content, self._name))

    def _add_field(self, text: str) -> None:
        self._fields += 1
        if self._fields > MAX_FIELDS:
            raise too_large(f"more than {MAX_FIELDS} fields", f"{MAX_FIELDS} fields")
        self.complete.append(Field(self._name, text))


def form_of_one(
    content_type: str, body: bytes | memoryview, parameters: Collection[str]
) -> tuple[bytes | memoryview, list[tuple[str, str]]]:
    """The one file of a form that is in memory, as a view of the body, and the fields by name in their order.

    `parameters` are the names of parts that are files only if they have a file name. Raises MalformedForm for a form of
    wrong syntax, FormTooLarge for too many or too long fields, and FileMissing for no file or more than one.
    """
    collector = _Collector(parameters, Pieces, most_files=1)
    reader = MultipartReader(content_type, collector)
    reader.feed(body)
    reader.finish()
    files = [part.content.taken() for part in collector.complete if isinstance(part, File)]
    if not files:
        raise FileMissing(found="no file part", expected=ONE_FILE, remedy=ADD_ONE)
    return files[0], [(part.name, part.text) for part in collector.complete if isinstance(part, Field)]


async def parts_of(
    content_type: str, body: AsyncIterable[bytes], parameters: Collection[str], most_parts: int = MAX_PARTS
) -> AsyncGenerator[File[FileBuffer] | Field, None]:
    """The parts of a form during its upload; reads at most one chunk beyond the last part that it has given.

    `parameters` as in `form_of_one`. Raises MalformedForm, FormTooLarge, and whatever `body` raises.
    """
    collector = _Collector(parameters, FileBuffer)
    reader = MultipartReader(content_type, collector, most_parts)
    async for chunk in body:
        for piece in _in_turns(chunk):
            reader.feed(piece)
            while collector.complete:
                yield collector.complete.popleft()
            if piece is not chunk:
                await asyncio.sleep(0)
    reader.finish()


def _in_turns(chunk: bytes) -> Iterator[bytes | memoryview]:
    """The chunk, or pieces of one that holds many parts, each of which takes as long as hundreds of kilobytes."""
    if chunk.count(b"\n--") <= MANY_PARTS:
        yield chunk
    else:
        view = memoryview(chunk)
        yield from (view[start : start + TURN_BYTES] for start in range(0, len(view), TURN_BYTES))


def _text(data: bytes) -> str | None:
    """The text in UTF-8; None for bytes that are not text, NUL among them."""
    try:
        return data.decode("utf-8") if b"\0" not in data else None
    except UnicodeDecodeError:
        return None
