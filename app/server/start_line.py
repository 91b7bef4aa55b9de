"""The first line of a request (RFC 9112 3): what of it is spoken here, and what is wrong with one that is not."""

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
    """A request that no application can answer, and the status that says so."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status)
        self.status = status


def check_spoken(method: str, version: str) -> None:
    """Raise NotSpoken for another version, and for CONNECT, after which anything may follow."""
    if version not in VERSIONS:
        raise NotSpoken(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
    if method == "CONNECT":
        raise NotSpoken(HTTPStatus.NOT_IMPLEMENTED)


def is_simple(data: bytes | memoryview) -> bool:
    """Whether a request begins as those of HTTP/0.9 do, of which nothing more comes."""
    return SIMPLE.match(data) is not None


def status_of(error: httptools.HttpParserError, data: bytes) -> HTTPStatus:
    """What to answer when the parser raised an error at `data`."""
    cause = error.__context__  # of one that was raised by whom the parser calls
    if isinstance(cause, NotSpoken):
        return cause.status
    if isinstance(error, httptools.HttpParserInvalidMethodError) and UNKNOWN.match(data):
        return HTTPStatus.NOT_IMPLEMENTED
    return HTTPStatus.BAD_REQUEST


def without_authority(target: bytes) -> tuple[bytes, str]:
    """A target without the scheme and host that it may begin with (RFC 9112 3.2.2), and its path; raises
    httptools.HttpParserInvalidURLError."""
    url = httptools.parse_url(target)
    path = url.path or b"/"
    return path + (b"?" + url.query if url.query else b""), path.decode("ascii")
