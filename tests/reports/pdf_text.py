"""The text of a PDF file as reportlab writes it: streams of ASCII85 and Flate, words in subsets of a TrueType font."""

from __future__ import annotations

import base64
import re
import zlib
from typing import Final

OBJECT: Final = re.compile(rb"(\d+) 0 obj\s(.*?)\sendobj", re.DOTALL)
STREAM: Final = re.compile(rb"stream\r?\n(.*?)endstream", re.DOTALL)
SHOWN: Final = re.compile(rb"/(F\d+(?:\+\d+)?) [\d.]+ Tf|\(((?:\\.|[^\\()])*)\) Tj", re.DOTALL)
ESCAPED: Final = re.compile(rb"\\([0-7]{3}|.)", re.DOTALL)
LETTERS: Final = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f"}


def pages_of(pdf: bytes) -> list[str]:
    """The words of each page, in the order in which they are drawn, a space after each piece."""
    objects = {int(number): body for number, body in OBJECT.findall(pdf)}
    fonts = {
        _name(body, rb"/Name /(\S+)"): _characters(_stream(objects[_reference(body, b"ToUnicode")]))
        for body in objects.values()
        if b"/ToUnicode" in body
    }
    pages = [body for body in objects.values() if re.search(rb"/Type /Page\b", body)]
    return [_words(_stream(objects[_reference(body, b"Contents")]), fonts) for body in pages]


def _words(content: bytes, fonts: dict[bytes, dict[int, str]]) -> str:
    font: dict[int, str] = {}
    words = []
    for name, shown in SHOWN.findall(content):
        if name:
            font = fonts.get(name, {})
        else:
            codes = ESCAPED.sub(_unescaped, shown)
            words.append("".join(font.get(code, chr(code)) for code in codes))
    return " ".join(words)


def _unescaped(match: re.Match[bytes]) -> bytes:
    token = match[1]
    return bytes([int(token, 8)]) if len(token) == 3 else LETTERS.get(token, token)


def _characters(cmap: bytes) -> dict[int, str]:
    """The characters of a ToUnicode map, by code."""
    pairs = re.findall(rb"^<([0-9A-Fa-f]{2})> <((?:[0-9A-Fa-f]{4})+)>$", cmap, re.MULTILINE)
    return {int(code, 16): bytes.fromhex(text.decode()).decode("utf-16-be") for code, text in pairs}


def _stream(body: bytes) -> bytes:
    match, length = STREAM.search(body), re.search(rb"/Length (\d+)", body)
    assert match is not None
    assert length is not None
    data = match[1][: int(length[1])]  # a compressed stream may end in what looks like white space
    if b"/ASCII85Decode" in body:
        data = base64.a85decode(data.strip().removesuffix(b"~>"))
    return zlib.decompress(data) if b"/FlateDecode" in body else data


def _reference(body: bytes, key: bytes) -> int:
    return int(_name(body, rb"/" + key + rb" (\d+) 0 R"))


def _name(body: bytes, pattern: bytes) -> bytes:
    match = re.search(pattern, body)
    assert match is not None
    return match[1]
