"""The first line of a request (RFC 9112 3): which versions and methods the server takes, and the status for the
others."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Final

import httptools

VERSIONS: Final = ("1.0", "1.1")
# One whose method the parser does not know; what is no such line is no request.
UNKNOWN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+ [!-~]+ HTTP/1\.[01]\r\n")
SIMPLE: Final = re.compile(rb"[A-Z]+ [!-~]+\r?\n")  # ends where a later version's would say which it is


class NotSpoken(Exception):
    """A request that no application can answer, with the status that says so."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status)
        self.status = status


def check_spoken(method: str, version: str) -> None:
    """Raise NotSpoken for another version than 1.0 and 1.1, and for CONNECT, after which any bytes may follow."""
    if version not in VERSIONS:
        raise NotSpoken(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
    if method == "CONNECT":
        raise NotSpoken(HTTPStatus.NOT_IMPLEMENTED)


def is_simple(data: bytes | memoryview) -> bool:
    """Whether a request begins like one of HTTP/0.9, which has nothing but its first line."""
    return SIMPLE.match(data) is not None


def status_of(error: httptools.HttpParserError, data: bytes) -> HTTPStatus:
    """The status of the answer when the parser raised `error` at `data`."""
    cause = error.__context__  # of one that was raised by whom the parser calls
    if isinstance(cause, NotSpoken):
        return cause.status
    if isinstance(error, httptools.HttpParserInvalidMethodError) and UNKNOWN.match(data):
        return HTTPStatus.NOT_IMPLEMENTED
    return HTTPStatus.BAD_REQUEST


def without_authority(target: bytes) -> tuple[bytes, str]:
    """A request's target without scheme and host (RFC 9112 3.2.2), and its path. Raises
    httptools.HttpParserInvalidURLError."""
    url = httptools.parse_url(target)
    path = url.path or b"/"
    return path + (b"?" + url.query if url.query else b""), path.decode("ascii")
