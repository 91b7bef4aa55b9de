"""The parts of a multipart/form-data body (RFC 7578), each as soon as it is complete. Nothing touches the disk."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable
from dataclasses import dataclass, field
from typing import Any, Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from app.api.uploads.file_buffer import Received
from app.errors import MalformedForm

MAX_FIELDS: Final = 32
MAX_FIELD_BYTES: Final = 4096
CALLBACKS: Final = (
    "on_header_field",
    "on_header_value",
    "on_header_end",
    "on_headers_finished",
    "on_part_data",
    "on_part_end",
    "on_end",
)


@dataclass(slots=True, eq=False)
class Part:
    """One part; a part with a file name is a file."""

    name: str = ""
    is_file: bool = False
    content: Received = field(default_factory=Received)


class _Collector:
    """Callbacks of python-multipart: they fill the open part and put complete ones into `complete`."""

    def __init__(self) -> None:
        self.complete: deque[Part] = deque()
        self.ended = False
        self._part = Part()
        self._fields = 0
        self._header, self._value = b"", b""

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def on_header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            _, options = parse_options_header(self._value)
            self._part.name = options.get(b"name", b"").decode("utf-8", "replace")
            self._part.is_file = b"filename" in options
        self._header, self._value = b"", b""

    def on_headers_finished(self) -> None:
        if not self._part.name:
            raise _malformed("a part without a name")
        self._fields += not self._part.is_file
        if self._fields > MAX_FIELDS:
            raise _malformed(f"more than {MAX_FIELDS} fields")

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        self._part.content.append(memoryview(data)[start:end])
        if not self._part.is_file and len(self._part.content) > MAX_FIELD_BYTES:
            raise _malformed(f"a field of more than {MAX_FIELD_BYTES} bytes")

    def on_part_end(self) -> None:
        self.complete.append(self._part)
        self._part = Part()

    def on_end(self) -> None:
        self.ended = True


def is_form(content_type: str) -> bool:
    """Whether a Content-Type announces parts."""
    return content_type.strip().lower().startswith("multipart/")


async def parts_of(content_type: str, body: AsyncIterable[bytes]) -> AsyncGenerator[Part, None]:
    """The parts of a body in their order; at most one chunk beyond the last of them has been read.

    Raises MalformedForm for what does not follow the syntax, and whatever `body` raises.
    """
    boundary = parse_options_header(content_type)[1].get(b"boundary")
    if not boundary:
        raise _malformed("a multipart Content-Type without boundary")
    collector = _Collector()
    callbacks: Any = {name: getattr(collector, name) for name in CALLBACKS}
    try:
        parser = MultipartParser(boundary, callbacks)
        async for chunk in body:
            parser.write(chunk)
            while collector.complete:
                yield collector.complete.popleft()
    except FormParserError:
        raise _malformed("a multipart body that does not follow its syntax") from None
    if not collector.ended:
        raise _malformed("a multipart body that ends too early")


def _malformed(found: str) -> MalformedForm:
    return MalformedForm(
        found=found,
        expected="multipart/form-data (RFC 7578) with the images as file parts",
        remedy="With curl: -F files=@slice.dcm for each file (mind the @).",
    )
