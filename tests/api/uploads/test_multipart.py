"""Bodies of several parts by the grammar of RFC 2046 5.1.1, in any chunks, and what is none.

`MULTIPART_EXAMPLES` in the environment has many more of them made: see `make fuzz-multipart`.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from app.api.uploads.multipart import (
    MAX_BOUNDARY_BYTES,
    MAX_FALSE_BOUNDARIES,
    MAX_HEADER_BYTES,
    MAX_HEADERS,
    MultipartReader,
)
from app.errors import FormTooLarge, MalformedForm

EXAMPLES = int(os.environ.get("MULTIPART_EXAMPLES", "200"))
GENERATED = hypothesis_settings(
    max_examples=EXAMPLES, deadline=None, derandomize=EXAMPLES <= 200, suppress_health_check=list(HealthCheck)
)
BOUNDARY_CHARACTERS = "0123456789abcxyzABCXYZ'()+_,-./:=?"
Parts = list[tuple[dict[str, str], bytes]]


class Sink:
    """Keeps what comes."""

    def __init__(self) -> None:
        self.parts: Parts = []
        self._headers: dict[str, str] = {}
        self._content: bytearray | None = None

    def begin(self, headers: Mapping[str, str]) -> None:
        assert self._content is None
        self._headers, self._content = dict(headers), bytearray()

    def write(self, data: memoryview) -> None:
        assert self._content is not None
        assert len(data)
        self._content += data

    def end(self) -> None:
        assert self._content is not None
        self.parts.append((self._headers, bytes(self._content)))
        self._content = None


def read(content_type: str, chunks: list[bytes]) -> Parts:
    sink = Sink()
    reader = MultipartReader(content_type, sink)
    for chunk in chunks:
        reader.feed(chunk)
    reader.finish()
    return sink.parts


@dataclass
class Body:
    """One by the grammar, its parts, and how it is cut."""

    content_type: str
    data: bytes
    parts: Parts
    cuts: list[int]

    @property
    def chunks(self) -> list[bytes]:
        ends = [0, *sorted(cut % (len(self.data) + 1) for cut in self.cuts), len(self.data)]
        return [self.data[start:stop] for start, stop in itertools.pairwise(ends)]


boundaries = st.one_of(
    st.sampled_from(["x", "-", "--", "XX", "----WebKitFormBoundary7MA4YWxk", "=_Part_1.2"]),
    st.text(BOUNDARY_CHARACTERS + " ", min_size=1, max_size=70).filter(lambda text: not text.endswith(" ")),
)
spaces = st.sampled_from(["", " ", "\t", "  \t "])


def near(boundary: str) -> st.SearchStrategy[bytes]:
    """Binary content with much that is nearly a delimiter, and none."""
    delimiter = b"\r\n--" + boundary.encode()
    pieces = st.one_of(
        st.binary(max_size=20),
        st.integers(0, len(delimiter) - 1).map(lambda size: delimiter[:size]),
        st.sampled_from([b"\r", b"\n", b"\r\n", b"\r\r\n", b"--", b"\n" + delimiter[2:], b"\r" + delimiter[2:]]),
        st.just(b" " + delimiter[2:] + b"--\r\n"),
    )
    joined = st.lists(pieces, max_size=12).map(b"".join)
    # Nothing that begins a line as the boundary does may be in a part (RFC 2046 5.1.2).
    return joined.filter(lambda content: delimiter not in b"\r\n" + content)


def cased(name: str) -> st.SearchStrategy[str]:
    return st.sampled_from([name, name.lower(), name.upper(), name.swapcase()])


@st.composite
def header_blocks(draw: st.DrawFn) -> tuple[bytes, dict[str, str]]:
    """Headers as they are written, and what they say."""
    names = ["Content-Type", "Content-Disposition", "Content-ID", "X-Any"]
    block, said = b"", {}
    for name in draw(st.permutations(names))[: draw(st.integers(0, len(names)))]:
        words = draw(st.lists(st.text("abc;=\"'/é", min_size=1, max_size=8), min_size=1, max_size=3))
        folds = [draw(st.sampled_from([" ", "\r\n ", "\r\n\t", " \r\n  "])) for _ in words[1:]]
        value = words[0] + "".join(fold + word for fold, word in zip(folds, words[1:], strict=True))
        line = f"{draw(cased(name))}:{draw(spaces)}{value}{draw(spaces)}\r\n"
        block += line.encode("latin-1")
        said[name.lower()] = value.replace("\r\n", "")
    if draw(st.booleans()):
        block += b"Content-Transfer-Encoding: " + draw(st.sampled_from([b"binary", b"8bit", b"7BIT"])) + b"\r\n"
        said["content-transfer-encoding"] = block.rpartition(b": ")[2].strip().decode()
    return block, said


@st.composite
def bodies(draw: st.DrawFn) -> Body:
    boundary = draw(boundaries)
    dash = b"--" + boundary.encode()
    lines = near(boundary)
    data = draw(st.one_of(st.just(b""), st.just(b"\r\n"), lines.map(lambda text: text + b"\r\n")))
    parts: Parts = []
    for n in range(draw(st.integers(1, 4))):
        block, said = draw(header_blocks())
        content = draw(st.one_of(st.none(), lines))
        data += (b"\r\n" if n else b"") + dash + draw(spaces).encode() + b"\r\n" + block
        # Without a body a part has no empty line either: that is the line end before the boundary.
        data += b"" if content is None else b"\r\n" + content
        parts.append((said, content or b""))
    data += b"\r\n" + dash + b"--" + draw(st.sampled_from([b"", b"\r\n", b" \t\r\n", b"\r\n" + dash + b"\r\n"]))
    data += draw(st.binary(max_size=10)) if data.endswith(b"\r\n") else b""
    token = boundary.isalnum() and draw(st.booleans())
    written = boundary if token else f'"{boundary}"'
    name = draw(cased("boundary"))
    content_type = draw(
        st.sampled_from([f"multipart/mixed; {name}={written}", f"Multipart/Related;{name}={written}; a=b"])
    )
    return Body(content_type, data, parts, draw(st.lists(st.integers(0, 1 << 16), max_size=8)))


@given(bodies())
@GENERATED
def test_parts_come_back_byte_for_byte_however_the_body_is_cut(body: Body) -> None:
    assert read(body.content_type, [body.data]) == body.parts
    assert read(body.content_type, body.chunks) == body.parts
    assert read(body.content_type, [bytes([byte]) for byte in body.data]) == body.parts


@given(bodies(), st.data())
@GENERATED
def test_any_other_body_is_read_or_malformed_and_the_same_however_it_is_cut(body: Body, data: st.DataObject) -> None:
    damaged = bytearray(body.data)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(damaged)))
        match data.draw(st.sampled_from(["cut", "insert", "drop"])):
            case "cut":
                del damaged[place:]
            case "insert":
                damaged[place:place] = data.draw(st.one_of(st.binary(max_size=3), st.just(body.data[:40])))
            case "drop":
                del damaged[place : place + data.draw(st.integers(1, 8))]
    found = []
    for chunks in ([bytes(damaged)], [bytes([byte]) for byte in damaged]):
        try:
            found.append(read(body.content_type, chunks))
        except MalformedForm:
            found.append([])
    assert found[0] == found[1]


@given(st.text(max_size=60), st.binary(max_size=60))
@example("multipart/form-data; boundary=", b"")
@example('multipart/form-data; boundary="a\rb"', b"--a")
@example("multipart/form-data; boundary=" + "x" * (MAX_BOUNDARY_BYTES + 1), b"")
@GENERATED
def test_any_type_and_bytes_are_malformed(content_type: str, data: bytes) -> None:
    header = content_type.encode("latin-1", "replace").decode("latin-1")
    with pytest.raises(MalformedForm):
        read(header, [data])


TYPE = "multipart/form-data; boundary=x"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"--x",
        b"--x\r\n",
        b"--x\r\n\r\nno end",
        b"--x\r\n\r\nno end\r\n--x",
        b"--x\r\n\r\nno end\r\n--x-",
        b"--x\r\nno header\r\n\r\n\r\n--x--",
        b"--x\r\n: no name\r\n\r\n\r\n--x--",
        b"--x\r\n folded: first\r\n\r\n\r\n--x--",
        b"--x\r\nA: b\0c\r\n\r\n\r\n--x--",
        b"--x\r\nA: b\nB: c\r\n\r\n\r\n--x--",
        b"--x\r\nA: b\r\n--x--\r\n",
        b"--x\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA\r\n--x--",
        b"--x\n\nlone line feeds\n--x--\n",
        b"only a preamble",
    ],
)
def test_what_does_not_follow_the_syntax(data: bytes) -> None:
    for chunks in ([data], [bytes([byte]) for byte in data]):
        with pytest.raises(MalformedForm):
            read(TYPE, chunks)


def test_body_without_parts_has_none() -> None:
    assert read(TYPE, [b"--x--"]) == read(TYPE, [b"preamble\r\n--x--\r\nepilogue"]) == []


def test_line_that_only_begins_as_a_boundary_is_content() -> None:
    content = b"\r\n--xy\r\n--x-\r\n--x \t y\r\n--x\r\r\n--x" + b" " * 2000
    assert read(TYPE, [b"--x\r\n\r\n" + content + b"\r\n--x--"]) == [({}, content)]


def test_first_of_two_headers_of_a_name_counts() -> None:
    (part,) = read("multipart/mixed; boundary=x", [b"--x\r\nContent-ID: a\r\ncontent-id: b\r\n\r\n--x--"])
    assert part == ({"content-id": "a"}, b"")


def test_longest_boundary_of_the_standard_is_read() -> None:
    """RFC 2046 5.1.1 allows 70 characters."""
    boundary = "b" * 70
    body = f"--{boundary}\r\n\r\na\r\n--{boundary}--".encode()
    assert read(f"multipart/mixed; boundary={boundary}", [body]) == [({}, b"a")]


def test_boundary_and_headers_may_be_as_long_as_their_bounds() -> None:
    boundary, line = "b" * MAX_BOUNDARY_BYTES, b"A: " + b"a" * (MAX_HEADER_BYTES - 5)
    body = b"--%b\r\n%b\r\n\r\n--%b--" % (boundary.encode(), line, boundary.encode())
    (part,) = read(f"multipart/mixed; boundary={boundary}", [body])
    assert part[0] == {"a": line[3:].decode()}
    with pytest.raises(MalformedForm):
        read(f"multipart/mixed; boundary={boundary}b", [body])
    with pytest.raises(FormTooLarge):
        read(f"multipart/mixed; boundary={boundary}", [body.replace(b"A: ", b"A: aa")])


def test_memory_of_the_body_is_not_copied_piece_by_piece() -> None:
    """What is fed at once is passed on at once."""

    class Counting(Sink):
        pieces = 0

        def write(self, data: memoryview) -> None:
            super().write(data)
            self.pieces += 1

    sink = Counting()
    MultipartReader(TYPE, sink).feed(memoryview(b"--x\r\n\r\n" + b"\r\n--\r\r\n--xx\r\n--x-" * 10_000 + b"\r\n--x--"))
    assert sink.pieces == 1


@pytest.mark.parametrize("most", [1, 7])
def test_parts_are_as_many_as_may_be(most: int) -> None:
    part = b"--x\r\n\r\na\r\n"
    sink = Sink()
    MultipartReader(TYPE, sink, most).feed(part * most + b"--x--")
    assert len(sink.parts) == most
    with pytest.raises(FormTooLarge, match=f"{most} parts"):
        MultipartReader(TYPE, Sink(), most).feed(part * (most + 1) + b"--x--")


def test_content_full_of_its_own_boundary_is_given_up() -> None:
    """To look what follows each takes a thousand times as long as to look for it."""
    with pytest.raises(MalformedForm, match="boundary"):
        MultipartReader(TYPE, Sink()).feed(b"--x\r\n\r\n" + b"\r\n--xx" * (MAX_FALSE_BOUNDARIES + 1))


@pytest.mark.parametrize(
    "data",
    [
        b"--x\r\nA: " + b"a" * MAX_HEADER_BYTES + b"\r\n\r\n\r\n--x--",
        b"--x\r\n" + b"A: b\r\n" * MAX_HEADER_BYTES,
        b"--x\r\n" + b"A: b\r\n" * (MAX_HEADERS + 1) + b"\r\n\r\n--x--",
    ],
)
def test_headers_of_a_part_are_bounded(data: bytes) -> None:
    with pytest.raises(FormTooLarge, match="headers"):
        read(TYPE, [data])
