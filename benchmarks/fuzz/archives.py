"""Zip archives written by hand, so that any field can be a lie (APPNOTE 4.3)."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from benchmarks.fuzz.damage import damaged

STORED, DEFLATED = 0, 8
NAMES: Final = (
    *(
        b"../../x.dcm",
        b"/etc/passwd",
        b"C:\\x.dcm",
        b"a/" * 200 + b"x",
        b"",
        b"\0",
        b"\xff\xfe",
        b"x\0.dcm",
        b"DICOMDIR",
    ),
    *("名字.dcm".encode(), b"series/", b"__MACOSX/._0.dcm", b".DS_Store", b"con", b"x" * 3000, b"series/0.dcm"),
)
STRAYS: Final = (
    b"",
    b"readme",
    b"\0" * 200,
    b"\x89PNG\r\n\x1a\n",
    b"PK\x05\x06" + bytes(18),
    b"%PDF",
    bytes(128) + b"DICM",
)
SIZES: Final = (0, 1, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF)
METHODS: Final = (1, 6, 9, 12, 14, 93, 95, 98, 99, 0xFFFF)
FLAGS: Final = (1, 1 << 3, 1 << 5, 1 << 6, 1 << 11, 1 << 13, 0xFFFF)
EXTRAS: Final = (
    struct.pack("<HHQQ", 1, 16, 1 << 40, 5),  # zip64
    struct.pack("<HH", 1, 0),
    struct.pack("<HHHBB", 0x9901, 4, 2, 0, 0),  # AES
    b"\x75\x70\xff\xff\x01",  # a Unicode path that is cut off
    bytes(300),
)


@dataclass(slots=True)
class Member:
    """One file of an archive; what is not None in `lies` stands in its headers instead of the truth."""

    name: bytes
    data: bytes
    method: int = DEFLATED
    flags: int = 0
    extra: bytes = b""
    lies: dict[str, int] = field(default_factory=dict)

    def packed(self) -> bytes:
        """The data as they lie in the archive."""
        if self.method != DEFLATED:
            return self.data
        deflater = zlib.compressobj(1, wbits=-zlib.MAX_WBITS)
        return deflater.compress(self.data) + deflater.flush()

    def fields(self, packed: bytes) -> bytes:
        """What both headers state alike: from the flags to the lengths of name and extra field."""
        lies = self.lies
        return struct.pack(
            "<4H3L2H",
            self.flags,
            lies.get("method", self.method),
            0,
            33,  # 1 January 1980
            lies.get("crc", zlib.crc32(self.data)),
            lies.get("packed", len(packed)) & 0xFFFFFFFF,
            lies.get("size", len(self.data)) & 0xFFFFFFFF,
            len(self.name) & 0xFFFF,
            len(self.extra) & 0xFFFF,
        )


@dataclass(slots=True)
class Archive:
    """Members in the order in which they lie, those that the directory names, and what stands around them."""

    members: list[Member]
    before: bytes = b""
    comment: bytes = b""
    count: int | None = None
    directory_offset: int | None = None
    listed_twice: bool = False

    def written(self) -> bytes:
        """The bytes."""
        body, directory = bytearray(self.before), bytearray()
        for member in self.members:
            packed = member.packed()
            fields, offset = member.fields(packed), member.lies.get("offset", len(body)) & 0xFFFFFFFF
            body += b"PK\x03\x04\x14\0" + fields + member.name + member.extra + packed
            entry = b"PK\x01\x02\x14\0\x14\0" + fields + struct.pack("<HHHLL", 0, 0, 0, 0, offset)
            directory += (entry + member.name + member.extra) * (2 if self.listed_twice else 1)
        count = len(self.members) if self.count is None else self.count
        at = len(body) if self.directory_offset is None else self.directory_offset
        end = struct.pack(
            "<4HLLH", 0, 0, count & 0xFFFF, count & 0xFFFF, len(directory), at, len(self.comment) & 0xFFFF
        )
        return bytes(body + directory) + b"PK\x05\x06" + end + self.comment


def zipped(files: Sequence[bytes]) -> Archive:
    """The files of a series in a folder."""
    return Archive([Member(b"series/%d.dcm" % n, data, STORED) for n, data in enumerate(files)])


def _names(archive: Archive, rng: random.Random) -> None:
    for _ in range(rng.choice((1, 2, 9))):
        rng.choice(archive.members).name = rng.choice(NAMES)


def _strays(archive: Archive, rng: random.Random) -> None:
    for _ in range(rng.choice((1, 2, 5))):
        at = rng.randrange(len(archive.members) + 1)
        archive.members.insert(at, Member(rng.choice(NAMES), rng.choice(STRAYS), rng.choice((STORED, DEFLATED))))


def _sizes(archive: Archive, rng: random.Random) -> None:
    member = rng.choice(archive.members)
    member.lies[rng.choice(("packed", "size", "crc", "offset"))] = rng.choice((*SIZES, len(member.data) + 1))


def _methods(archive: Archive, rng: random.Random) -> None:
    member = rng.choice(archive.members)
    if rng.random() < 0.5:
        member.method = DEFLATED
    else:
        member.lies["method"] = rng.choice(METHODS)


def _flags(archive: Archive, rng: random.Random) -> None:
    rng.choice(archive.members).flags = rng.choice(FLAGS)


def _extras(archive: Archive, rng: random.Random) -> None:
    rng.choice(archive.members).extra = rng.choice(EXTRAS)


def _duplicates(archive: Archive, rng: random.Random) -> None:
    archive.listed_twice = rng.random() < 0.3
    archive.members.append(rng.choice(archive.members))


def _nested(archive: Archive, rng: random.Random) -> None:
    inner = Archive(archive.members[: rng.choice((1, 2))]).written()
    archive.members.insert(rng.randrange(len(archive.members) + 1), Member(b"inner.zip", inner))


def _directory(archive: Archive, rng: random.Random) -> None:
    match rng.randrange(4):
        case 0:
            archive.count = rng.choice((0, 1, len(archive.members) + 1, 0xFFFF))
        case 1:
            archive.directory_offset = rng.choice(SIZES)
        case 2:
            archive.before = rng.choice((b"MZ" + bytes(62), b"PK", bytes(128) + b"DICM"))
        case _:
            archive.comment = rng.choice((b"x" * 100, b"PK\x05\x06", b"x" * 65535))


def _bomb(archive: Archive, rng: random.Random) -> None:
    archive.members.append(Member(b"zeros.dcm", bytes(rng.choice((1 << 20, 20 << 20)))))


CHANGES: Final[tuple[Callable[[Archive, random.Random], None], ...]] = (
    *(_names, _strays, _sizes, _methods, _flags, _extras, _duplicates, _nested, _directory, _bomb),
)


def mutated_archive(files: Sequence[bytes], rng: random.Random) -> tuple[bytes, tuple[str, ...]]:
    """A zip of the files, changed in one place or two, and what was done to it."""
    archive, done = zipped(files), list[str]()
    for _ in range(rng.choice((1, 1, 2))):
        change = rng.choice(CHANGES)
        change(archive, rng)
        done.append(f"zip{change.__name__}")
    data = archive.written()
    return (damaged(data, rng), (*done, "damage")) if rng.random() < 0.15 else (data, tuple(done))
