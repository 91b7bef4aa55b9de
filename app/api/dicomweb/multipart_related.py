"""Reads and writes multipart/related (RFC 2387) as DICOMweb uses it (PS3.18 8.6), part by part."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Protocol

from app.api.header_values import options_of
from app.api.uploads.multipart import MAX_PARTS, MultipartReader, part_options
from app.errors import UnsupportedMediaType

DICOM: Final = "application/dicom"
RELATED: Final = "multipart/related"


class InstanceSink(Protocol):
    """Takes instances one after the other."""

    def begin(self) -> None:
        """Begin an instance."""
        ...

    def write(self, data: bytes | memoryview) -> None:
        """Take the next bytes of the instance."""
        ...

    def end(self) -> None:
        """End the instance: it is complete."""
        ...


class RelatedReader:
    """Gives the DICOM instances of a body to a sink; a bare instance counts as one part."""

    def __init__(self, content_type: str, sink: InstanceSink, most_parts: int = MAX_PARTS) -> None:
        """Raises UnsupportedMediaType for anything but application/dicom, and MalformedForm without a boundary."""
        kind, options = options_of(content_type)
        declared = options.get(b"type", DICOM.encode()).decode("latin-1").lower()
        if kind.lower() not in (DICOM.encode(), RELATED.encode()) or declared != DICOM:
            raise _unsupported()
        bare = kind.lower() == DICOM.encode()
        self._reader = _Bare(sink) if bare else MultipartReader(content_type, _Instances(sink), most_parts)

    def feed(self, chunk: bytes) -> None:
        """Read the next bytes; raises MalformedForm, FormTooLarge, and UnsupportedMediaType for a part of another
        type."""
        self._reader.feed(chunk)

    def finish(self) -> None:
        """End the body; raises MalformedForm when it is not complete."""
        self._reader.finish()


class _Instances:
    """The parts of a multipart body, each of which must be an instance."""

    def __init__(self, sink: InstanceSink) -> None:
        self._sink = sink
        self.write, self.end = sink.write, sink.end

    def begin(self, headers: Mapping[str, str]) -> None:
        if part_options(headers.get("content-type", DICOM))[0].lower() != DICOM.encode():
            raise _unsupported()
        self._sink.begin()


class _Bare:
    """A body that is one bare instance, or empty."""

    def __init__(self, sink: InstanceSink) -> None:
        self._sink = sink
        self._begun = False

    def feed(self, chunk: bytes) -> None:
        if chunk and not self._begun:
            self._sink.begin()
            self._begun = True
        if chunk:
            self._sink.write(chunk)

    def finish(self) -> None:
        if self._begun:
            self._sink.end()


def related(parts: Iterable[bytes], media_type: str = DICOM) -> tuple[str, Iterator[bytes]]:
    """The Content-Type of a body with these parts, and the body's bytes."""
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
        remedy="Send PS3.10 files; this service does not read separate metadata and bulk data.",
    )
