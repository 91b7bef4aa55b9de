"""Requests whose end one reader sees here and another there, made from a seed (RFC 9112 6 and 11.2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final

MARK: Final = "X-Mark"
ATTACK, SMUGGLED = "a", "s"
TARGET: Final = b"/judge"
HOW: Final = "X-How"  # what the application does with the body
WAYS: Final = (b"read", b"unread", b"refused")
ODD: Final = 0.12  # of each place in a request: more, and a proxy refuses nearly all
METHODS: Final = (b"PUT", b"GET", b"HEAD", b"OPTIONS", b"DELETE", b"post", b"FOO")
VERSIONS: Final = (b"HTTP/1.0", b"HTTP/1.2", b"HTTP/2.0", b"HTTP/0.9", b"http/1.1", b"HTTP/1.1 ")
ENDS: Final = (b"\n", b"\r", b"\r\r\n", b"\n\r\n", b" \r\n", b"\r\n ", b"\x0b\r\n")
BLANKS: Final = (b"", b"\t", b"  ", b"\x0b", b"\x0c", b"\xa0", b"\r\n ", b"\n ", b"\r ", b"\0")
LENGTHS: Final = (
    *(b"0%d", b"+%d", b"-%d", b"%d ", b"%d\t", b" %d", b"0x%x", b"%d.0", b"%d,%d", b"%d, %d", b"1e%d", b"", b"0,%d"),
    *(b"%d;", b"%d\x0b", b"%d\0", b"'%d'", b"%d_0", b"%d\xb2", b"1844674407370955161%d", b"000000000000000000000%d"),
)
CODINGS: Final = (
    *(b"Chunked", b"CHUNKED", b"chunked ", b"\tchunked", b"chunked,", b",chunked", b"identity", b"identity, chunked"),
    *(b"chunked, identity", b"gzip, chunked", b"chunked, chunked", b"xchunked", b"chunked;q=1", b"\x0bchunked", b""),
    *(b"chunked\x0b", b"chunked\0", b'"chunked"', b"chunk", b"c hunked", b"x", b"chunked\r\n ", b"\r\n chunked"),
    *(b"chunked\xa0", b"trailers, chunked", b"deflate", b"chunked\r", b"identity;chunked", b"chunked\tx"),
)
LENGTH_NAMES: Final = (
    *(b"content-length", b"Content-Length ", b"Content-Length\t", b" Content-Length", b"Content_Length"),
    *(b"Content-Length\0", b"Content-Lengt\xe8", b"X: y\nContent-Length", b"X: y\rContent-Length"),
)
CODING_NAMES: Final = (
    *(b"transfer-encoding", b"Transfer-Encoding ", b"Transfer-Encoding\t", b" Transfer-Encoding", b"TE"),
    *(b"Transfer_Encoding", b"Transfer-Encoding\0", b"X: y\nTransfer-Encoding", b"X: y\rTransfer-Encoding"),
)
SIZES: Final = (
    *(b"0%x", b"+%x", b"-%x", b"0x%x", b" %x", b"%x ", b"%x\t", b"%x;a=b", b"%x;", b"%x;\n", b'%x;a="\r\n"', b"%x\r"),
    *(b"%x;\r", b"00000000000000000%x", b"1000000000000000%x", b"%x,", b"%xg", b"\x0b%x", b"", b"%x;a\nb"),
)
DATA_ENDS: Final = (b"\n", b"", b"\r", b"xx", b"\r\n\r\n")
LAST_CHUNKS: Final = (b"00", b"0;a", b"0 ", b"-0", b"0x0", b"", b"0\x0b", b"000000000000000000000")
TRAILERS: Final = (
    b"A: b\r\n",
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"A: b\n",
    b" b\r\n",
    b"A\r\n",
)
# What else a proxy or a server may stumble over.
ASIDES: Final = (
    *(b"Expect: 100-continue", b"Expect: 100-Continue, x", b"Connection: close", b"Connection: Content-Length"),
    *(b"Connection: Transfer-Encoding", b"Connection: keep-alive, Transfer-Encoding", b"Host: y", b": x", b"X"),
    *(b"Upgrade: h2c\r\nConnection: upgrade", b"Upgrade: websocket\r\nConnection: Upgrade", b"X: y\r\n z"),
    *(b"Content-Encoding: chunked", b"X:y\nA: b", b"A" * 9000 + b": b", b"Keep-Alive: timeout=1"),
    *(b"Trailer: Content-Length", b"Proxy-Connection: close"),
)
ODD_BYTES: Final = b"\0\t\n\x0b\x0c\r ,:;\x7f\x85\xa0\xff"
PIPELINED: Final = 4
BLANK_LINES: Final = b"\r\n" * 10_000  # more than the server reads at once


@dataclass(frozen=True, slots=True)
class Variant:
    """What is sent on one connection, in pieces, and what it is made of."""

    number: int
    kind: str
    pieces: tuple[bytes, ...]

    @property
    def sent(self) -> bytes:
        """All of it."""
        return b"".join(self.pieces)


def mark(kind: str, number: int) -> bytes:
    """The header line by which a request is known."""
    return f"{MARK}: {kind}-{number}\r\n".encode()


def variant(seed: int, number: int) -> Variant:
    """The same for the same seed and number."""
    draw = Random(f"{seed}:{number}")
    kind = draw.choice(sorted(KINDS))
    sent = KINDS[kind](draw, number)
    if draw.random() < ODD:
        at = draw.randrange(len(sent))
        odd = bytes([draw.choice(ODD_BYTES)])
        sent = sent[:at] + odd + sent[at + draw.randrange(2) :]
    cut = draw.randrange(len(sent)) if draw.random() < 0.5 else 0
    return Variant(number, kind, tuple(piece for piece in (sent[:cut], sent[cut:]) if piece))


def _smuggled(draw: Random, number: int) -> bytes:
    """A whole request, or one that waits for the next one's beginning to be its end; perhaps far into a body, behind
    what no reader takes for the beginning of a request."""
    before = BLANK_LINES if draw.random() < 2 * ODD else b""
    method = draw.choice((b"GET /smuggled", b"POST " + TARGET))
    head = before + method + b" HTTP/1.1\r\nHost: x\r\n" + mark(SMUGGLED, number)
    if draw.random() < 0.3:
        return head + b"X-Swallowed: "
    return head + (b"Content-Length: 60\r\n\r\n" if draw.random() < 0.3 else b"\r\n")


def _way(draw: Random) -> bytes:
    return f"{HOW}: ".encode() + draw.choice(WAYS) + b"\r\n"


def _or_odd(draw: Random, usual: bytes, odd: tuple[bytes, ...]) -> bytes:
    return draw.choice(odd) if draw.random() < ODD else usual


def _head(draw: Random, number: int, *framing: bytes, method: bytes = b"POST") -> bytes:
    lines = [b"Host: x", mark(ATTACK, number)[:-2], _way(draw)[:-2], *framing]
    if draw.random() < 2 * ODD:
        lines.insert(draw.randrange(1, len(lines) + 1), draw.choice(ASIDES))
    target = _or_odd(draw, b"", (b"http://x",)) + TARGET
    lines.insert(0, b" ".join((_or_odd(draw, method, METHODS), target, _or_odd(draw, b"HTTP/1.1", VERSIONS))))
    odd_line = draw.randrange(len(lines))
    ends = [_or_odd(draw, b"\r\n", ENDS) if n == odd_line else b"\r\n" for n in range(len(lines))]
    return b"".join(line + end for line, end in zip(lines, ends, strict=True)) + b"\r\n"


def _length(draw: Random, count: int) -> bytes:
    form = _or_odd(draw, b"%d", LENGTHS)
    value = form % ((count,) * form.count(b"%"))
    return _or_odd(draw, b"Content-Length", LENGTH_NAMES) + b":" + _or_odd(draw, b" ", BLANKS) + value


def _coding(draw: Random) -> bytes:
    value = draw.choice((b"chunked", draw.choice(CODINGS)))
    return _or_odd(draw, b"Transfer-Encoding", CODING_NAMES) + b":" + _or_odd(draw, b" ", BLANKS) + value


def _chunks(draw: Random, content: bytes) -> bytes:
    form = _or_odd(draw, b"%x", SIZES)
    count = max(0, len(content) + draw.choice((0, 0, 0, 0, 0, 0, 1, -1, 2)))
    size = form % ((count,) * form.count(b"%"))
    first = b"".join((size, _or_odd(draw, b"\r\n", ENDS), content, _or_odd(draw, b"\r\n", DATA_ENDS)))
    last = _or_odd(draw, b"0", LAST_CHUNKS) + _or_odd(draw, b"\r\n", ENDS)
    return first + last + _or_odd(draw, b"", TRAILERS) + _or_odd(draw, b"\r\n", ENDS)


def by_length(draw: Random, number: int) -> bytes:
    """A body whose length is said oddly, or wrongly."""
    rest = _smuggled(draw, number)
    return _head(draw, number, _length(draw, draw.choice((len(rest), 0, 5)))) + rest


def by_chunks(draw: Random, number: int) -> bytes:
    """A body of odd chunks, and a request within it or after it."""
    rest = _smuggled(draw, number)
    content, after = draw.choice(((rest, b""), (b"hello", rest), (b"", rest)))
    return _head(draw, number, _coding(draw)) + _chunks(draw, content) + after


def by_both(draw: Random, number: int) -> bytes:
    """A length and chunks, in either order, of which each ends the body elsewhere."""
    rest = _smuggled(draw, number)
    body = draw.choice((b"0\r\n\r\n" + rest, _chunks(draw, b"hello") + rest, _chunks(draw, rest)))
    length = draw.choice((len(body), 5, 4, 0, len(body) - len(rest)))
    lines = [_length(draw, length), _coding(draw)]
    draw.shuffle(lines)
    return _head(draw, number, *lines) + body


def by_two(draw: Random, number: int) -> bytes:
    """The same header twice, with values that differ."""
    rest = _smuggled(draw, number)
    if draw.random() < 0.5:
        return _head(draw, number, _length(draw, len(rest)), _length(draw, draw.choice((0, 5, len(rest))))) + rest
    return _head(draw, number, _coding(draw), _coding(draw)) + _chunks(draw, b"hello") + rest


def without(draw: Random, number: int) -> bytes:
    """A request that has no body, followed by bytes; what has none may say that it has."""
    rest = _smuggled(draw, number)
    method = draw.choice((b"GET", b"HEAD", b"OPTIONS", b"DELETE", b"POST", b"TRACE", b"CONNECT"))
    lines = draw.choice(((), (_length(draw, len(rest)),), (_coding(draw),)))
    return _head(draw, number, *lines, method=method) + rest


def in_a_row(draw: Random, number: int) -> bytes:
    """Ordinary requests sent at once, each POST of which changes the worker; the last may be cut short."""
    every = []
    for _ in range(PIPELINED):
        body = draw.randbytes(draw.choice((0, 5, 300, 20_000)))
        lines = b"Content-Length: %d\r\n\r\n" % len(body) + body
        if draw.random() < 0.4:
            lines = b"Transfer-Encoding: chunked\r\n\r\n" + (b"%x\r\n%b\r\n" % (len(body), body) if body else b"")
            lines += b"0\r\n\r\n"
        head = b"POST " + TARGET + b" HTTP/1.1\r\nHost: x\r\n" + mark(ATTACK, number) + _way(draw)
        every.append(head + lines)
    sent = b"".join(every)
    return sent[: draw.choice((len(sent), len(sent), len(sent) - 3))]


KINDS: Final[dict[str, Callable[[Random, int], bytes]]] = {
    "length": by_length,
    "chunks": by_chunks,
    "both": by_both,
    "twice": by_two,
    "bodiless": without,
    "in a row": in_a_row,
}
