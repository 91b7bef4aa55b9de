"""Counts the head of a request, and what stands between the chunks of its body, while the parser reads them.

The parser keeps a header's value until it is complete, and makes a string of each: a head of 100 MB would take
gigabytes, and a value of 30 MB half a minute.
"""

from __future__ import annotations

from http import HTTPStatus

from app.server.bounds import ConnectionBounds
from app.server.start_line import NotSpoken

LINE_BYTES = 4  # ": " and the line end, of each header


class HeadMeter:
    """What the head, or the trailers, of one request have taken so far."""

    def __init__(self, bounds: ConnectionBounds) -> None:
        self._bounds = bounds
        self._bytes = self._lines = self._silent_bytes = 0
        self._heard = False

    def begin(self) -> None:
        """Begin with a head, or with a body, whose trailers count from nothing again."""
        self._bytes = self._lines = 0
        self._heard = True

    def target(self, length: int) -> None:
        """Count what is known of the target; raises NotSpoken with 414."""
        self._heard = True
        if length > self._bounds.target_bytes:
            raise NotSpoken(HTTPStatus.REQUEST_URI_TOO_LONG)

    def line(self, name: bytes, value: bytes) -> None:
        """Count a header or trailer; raises NotSpoken with 431."""
        self._heard = True
        self._lines += 1
        self._bytes += len(name) + len(value) + LINE_BYTES
        if self._lines > self._bounds.head_lines or self._bytes > self._bounds.head_bytes:
            raise NotSpoken(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def heard(self) -> None:
        """Note that the parser made something of what it was given: a chunk, or a part of one."""
        self._heard = True

    def is_fed_up(self, count: int) -> bool:
        """Whether too many bytes, the last `count` included, were given to the parser and it made nothing of them: they
        belong to one header, or to what follows the size of a chunk."""
        self._silent_bytes = 0 if self._heard else self._silent_bytes + count
        self._heard = False
        return self._silent_bytes > self._bounds.head_bytes
