"""multipart/related (RFC 2387) as DICOMweb uses it (PS3.18 8.6): read as it arrives, and written part by part."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from typing import Any, Final, Protocol

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from app.errors import MalformedForm, UnsupportedMediaType

DICOM: Final = "application/dicom"
RELATED: Final = "multipart/related"


class PartSink(Protocol):
    """Takes the parts of a body one after the other."""

    def begin(self) -> None:
        """A part begins."""
        ...

    def write(self, data: bytes) -> None:
        """More of it."""
        ...

    def end(self) -> None:
        """It is complete."""
        ...


class RelatedReader:
    """Feeds a body of DICOM instances to a sink, byte for byte; a bare instance is one part."""

    def __init__(self, content_type: str, sink: PartSink) -> None:
        """Raises UnsupportedMediaType for anything but application/dicom, and MalformedForm without boundary."""
        kind, options = parse_options_header(content_type)
        declared = options.get(b"type", DICOM.encode()).decode("latin-1").lower()
        if kind.lower() not in (DICOM.encode(), RELATED.encode()) or declared != DICOM:
            raise _unsupported()
        self._sink = sink
        self._ended = self._bare = kind.lower() == DICOM.encode()
        self._header, self._value = b"", b""
        self._begun = False
        if self._bare:
            return
        boundary = options.get(b"boundary")
        if not boundary:
            raise _malformed("no boundary")
        try:
            self._parser = MultipartParser(boundary, self._callbacks())
        except FormParserError:
            raise _malformed("a boundary that is too long") from None

    def feed(self, chunk: bytes) -> None:
        """The next bytes; raises MalformedForm, and UnsupportedMediaType for a part of another type."""
        if self._bare:
            self._feed_bare(chunk)
            return
        try:
            self._parser.write(chunk)
        except FormParserError:
            raise _malformed("a body that does not follow its syntax") from None

    def finish(self) -> None:
        """There are no more bytes; raises MalformedForm when there should be."""
        if self._begun:
            self._sink.end()
        elif not self._ended:
            raise _malformed("a body without its final boundary")

    def _feed_bare(self, chunk: bytes) -> None:
        if chunk and not self._begun:
            self._sink.begin()
            self._begun = True
        if chunk:
            self._sink.write(chunk)

    def _callbacks(self) -> Any:
        return {
            "on_part_begin": self._sink.begin,
            "on_header_field": self._on_header_field,
            "on_header_value": self._on_header_value,
            "on_header_end": self._on_header_end,
            "on_part_data": lambda data, start, end: self._sink.write(data[start:end]),
            "on_part_end": self._sink.end,
            "on_end": self._on_end,
        }

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        if self._header.lower() == b"content-type" and parse_options_header(self._value)[0].lower() != DICOM.encode():
            raise _unsupported()
        self._header, self._value = b"", b""

    def _on_end(self) -> None:
        self._ended = True


def related(parts: Iterable[bytes], media_type: str = DICOM) -> tuple[str, Iterator[bytes]]:
    """The Content-Type of a body with these parts, and its bytes."""
    boundary = uuid.uuid4().hex

    def body() -> Iterator[bytes]:
        for part in parts:
            yield f"--{boundary}\r\nContent-Type: {media_type}\r\n\r\n".encode()
            yield part
            yield b"\r\n"
        yield f"--{boundary}--\r\n".encode()

    return f'{RELATED}; type="{media_type}"; boundary={boundary}', body()


def _unsupported() -> UnsupportedMediaType:
    return UnsupportedMediaType(
        found="a Content-Type that is not for DICOM instances",
        expected=f'{DICOM}, or {RELATED}; type="{DICOM}" with parts of that type',
        remedy="Send PS3.10 files; metadata and bulk data are not taken apart.",
    )


def _malformed(found: str) -> MalformedForm:
    return MalformedForm(
        found=found,
        expected=f'{RELATED}; type="{DICOM}"; boundary=... with every part between boundaries (PS3.18 8.6.1.2)',
        remedy="Nothing of it was stored: send it again.",
    )
