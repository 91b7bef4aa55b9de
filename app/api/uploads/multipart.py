"""Reads a body of several parts (RFC 2046 5.1) as it arrives: a form (RFC 7578), or DICOMweb's instances (RFC 2387).

python-multipart does not read a preamble, folded headers or white space after the first boundary, and takes the
boundary after a part without content for content. So this module finds the parts, and that library reads the header
parameters.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from app.api.header_values import MAX_VALUE_CHARACTERS, options_of
from app.errors import FormTooLarge, MalformedForm

MAX_BOUNDARY_BYTES: Final = 256  # RFC 2046 allows 70; some senders write more
MAX_HEADER_BYTES: Final = 16 * 1024  # all headers of one part
MAX_HEADERS: Final = 64  # of one part; senders write four
MAX_PARTS: Final = 5200  # the files of a series and the fields beside them
MAX_FALSE_BOUNDARIES: Final = 50_000  # lines that only begin as one: RFC 2046 5.1.1 forbids them in content
# What may follow a boundary, and what of it may have come so far. More than the hyphens may follow the last one.
LINE_END: Final = re.compile(rb"--|[ \t]{0,1024}\r\n")
LINE_END_SO_FAR: Final = re.compile(rb"-|[ \t]{0,1024}\r?")
BLANK_LINE: Final = b"\r\n\r\n"
FOLD: Final = re.compile(rb"\r\n(?=[ \t])")
HEADER: Final = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+)[ \t]*:([^\x00-\x08\x0a-\x1f\x7f]*)")
CONTROL: Final = re.compile(rb"[\x00-\x1f\x7f]")
UNENCODED: Final = ("7bit", "8bit", "binary")  # Content-Transfer-Encodings that change nothing (RFC 2045 6.2)


class PartSink(Protocol):
    """Takes the parts of a body one after the other."""

    def begin(self, headers: Mapping[str, str]) -> None:
        """Begin a part. `headers` has names in small letters, the first header of each name, unfolded."""
        ...

    def write(self, data: memoryview) -> None:
        """Take the next bytes of the part. A sink that keeps `data` keeps that piece of the body in memory."""
        ...

    def end(self) -> None:
        """End the part: it is complete."""
        ...


class MultipartReader:
    """Gives the parts of a body to a sink as they arrive. It holds only the headers of one part and a possible
    beginning of a boundary."""

    def __init__(self, content_type: str, sink: PartSink, most_parts: int = MAX_PARTS) -> None:
        """Raises MalformedForm when the Content-Type has no usable boundary."""
        self._parts_left = most_parts
        self._most_parts = most_parts
        self._false_boundaries = 0
        self._delimiter = b"\r\n--" + _boundary(content_type)
        self._sink = sink
        self._read: Callable[[bytes, int], tuple[int, bool]] = self._read_content  # of nobody: the preamble
        self._within_part = False
        self._ended = False
        # The first boundary need not follow a line end, but all others do.
        self._kept = b"\r\n"
        # A line end may be that of a blank line and of a boundary at once. So many of the next bytes are no content.
        self._no_content = 0

    def feed(self, chunk: bytes | bytearray | memoryview) -> None:
        """Read the next bytes; raises MalformedForm, FormTooLarge, and whatever the sink raises."""
        data = self._kept + chunk if self._kept or not isinstance(chunk, bytes) else chunk
        at, more = 0, True
        while more:
            at, more = self._read(data, at)
        self._kept = data[at:]

    def finish(self) -> None:
        """End the body; raises MalformedForm when it is not complete."""
        if not self._ended:
            raise malformed("a multipart body that ends before its last boundary")

    def _read_content(self, data: bytes, start: int) -> tuple[int, bool]:
        """Read content up to the next boundary; returns where to go on, and whether the data are enough to go on."""
        at = start
        while (found := data.find(self._delimiter, at)) >= 0:
            after = found + len(self._delimiter)
            if line_end := LINE_END.match(data, after):
                self._pass_on(data, start, found)
                self._end_part(last=line_end[0] == b"--")
                return line_end.end() - 2, True
            if LINE_END_SO_FAR.fullmatch(data, after):
                break
            at = after  # a line that only begins as a boundary does is content
            self._false_boundaries += 1
            if self._false_boundaries > MAX_FALSE_BOUNDARIES:
                raise malformed("content full of its own boundary")
        stop = found if found >= 0 else self._perhaps_delimiter(data, at)
        self._pass_on(data, start, stop)
        return stop, False

    def _perhaps_delimiter(self, data: bytes, start: int) -> int:
        """Where a possible beginning of a boundary stands at the end of the data; the end if there is none."""
        # Only its first byte is a carriage return.
        last = data.rfind(b"\r", max(start, len(data) - len(self._delimiter) + 1))
        return last if last >= 0 and self._delimiter.startswith(data[last:]) else len(data)

    def _pass_on(self, data: bytes, start: int, stop: int) -> None:
        skipped = min(self._no_content, stop - start)
        self._no_content -= skipped
        if self._within_part and start + skipped < stop:
            self._sink.write(memoryview(data)[start + skipped : stop])

    def _end_part(self, *, last: bool) -> None:
        if self._within_part:
            self._sink.end()
        self._within_part, self._ended, self._no_content = False, last, 0
        self._read = self._read_epilogue if last else self._read_headers

    def _read_headers(self, data: bytes, start: int) -> tuple[int, bool]:
        """Read the headers of a part, from the end of the boundary's line."""
        end = data.find(BLANK_LINE, start)
        if (end if end >= 0 else len(data) - len(BLANK_LINE)) - start > MAX_HEADER_BYTES:
            raise too_large(f"a part with more than {MAX_HEADER_BYTES} bytes of headers", f"{MAX_HEADER_BYTES} bytes")
        if end < 0:
            return start, False
        self._parts_left -= 1
        if self._parts_left < 0:
            raise too_large(f"more than {self._most_parts} parts", f"{self._most_parts} parts")
        self._sink.begin(_headers(data[start + 2 : end + 2]))
        self._within_part, self._no_content = True, 2
        self._read = self._read_content
        return end + 2, True

    def _read_epilogue(self, data: bytes, _: int) -> tuple[int, bool]:
        """Skip the bytes after the last boundary."""
        return len(data), False


def malformed(found: str) -> MalformedForm:
    """The error for a body that does not have the syntax of its Content-Type."""
    return MalformedForm(
        found=found,
        expected="parts between boundaries, each with its headers, an empty line and its bytes (RFC 2046 5.1)",
        remedy="Nothing of it was kept. With curl: -F file=@slice.dcm (mind the @).",
    )


def too_large(found: str, most: str) -> FormTooLarge:
    """The error for a body of more, or longer, parts than are read."""
    return FormTooLarge(found=found, expected=f"at most {most}", remedy="Send less at once; a series also as one zip.")


def part_options(value: str) -> tuple[bytes, dict[bytes, bytes]]:
    """The value of a part's header without its parameters, and these by name; raises FormTooLarge."""
    if len(value) > MAX_VALUE_CHARACTERS:
        raise too_large(f"a part's header of {len(value)} characters", f"{MAX_VALUE_CHARACTERS} of one with parameters")
    return options_of(value)


def _boundary(content_type: str) -> bytes:
    boundary = options_of(content_type)[1].get(b"boundary", b"")
    if not 0 < len(boundary) <= MAX_BOUNDARY_BYTES or CONTROL.search(boundary):
        raise malformed(f"a multipart Content-Type without a boundary of 1 to {MAX_BOUNDARY_BYTES} characters")
    return boundary


def _headers(block: bytes) -> dict[str, str]:
    """The headers by name, from lines that each end in CRLF; raises MalformedForm and FormTooLarge."""
    headers: dict[str, str] = {}
    lines = FOLD.sub(b"", block).split(b"\r\n")[:-1]
    if len(lines) > MAX_HEADERS:
        raise too_large(f"a part with {len(lines)} headers", f"{MAX_HEADERS} headers of a part")
    for line in lines:
        header = HEADER.fullmatch(line)
        if header is None:
            raise malformed("a part with a line among its headers that is none")
        headers.setdefault(header[1].decode("ascii").lower(), header[2].decode("latin-1").strip(" \t"))
    if (encoding := headers.get("content-transfer-encoding", "binary").lower()) not in UNENCODED:
        raise malformed("a part in a Content-Transfer-Encoding" if encoding else "an empty Content-Transfer-Encoding")
    return headers
