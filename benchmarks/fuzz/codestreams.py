"""Mutations of compressed frames by their own structure: JPEG and JPEG-LS segments (T.81 Annex B, T.87 Annex C), and
JPEG 2000 and HTJ2K marker segments and tile-parts (T.800 Annex A)."""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass
from typing import Final

from benchmarks.fuzz.damage import damaged

J2K_START: Final = b"\xff\x4f\xff\x51"
SOT, SOD, EOC = 0x90, 0x93, 0xD9
SOS: Final = 0xDA
SIZES: Final = (0, 1, 2, 3, 7, 16, 63, 64, 127, 128, 129, 256, 4096, 65535, 1 << 20, 0x7FFFFFFF, 0xFFFFFFFF)
BYTES: Final = (0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 15, 16, 31, 32, 33, 63, 64, 127, 128, 200, 255)
# Within the content of SIZ: its capabilities, then image, offset, tile and tile offset, each by two; components.
SIZ_NUMBERS: Final = tuple(range(2, 34, 4))
SIZ_COMPONENTS: Final = 34
# The codes of segments that another may be turned into.
J2K_CODES: Final = (0x51, 0x52, 0x53, 0x5C, 0x5D, 0x5E, 0x5F, 0x55, 0x57, 0x58, 0x60, 0x61, 0x64, 0x50, 0x59, 0x56)
JPEG_CODES: Final = (0xC0, 0xC1, 0xC2, 0xC3, 0xC4, 0xC9, 0xCA, 0xDB, 0xDD, 0xE0, 0xEE, 0xF7, 0xF8, 0xFE)


@dataclass(slots=True)
class Segment:
    """A marker's code and the content of its segment; with a `length`, that is stated instead of the true one."""

    code: int
    content: bytes
    length: int | None = None

    def written(self) -> bytes:
        """Marker, length, content."""
        length = len(self.content) + 2 if self.length is None else self.length
        return struct.pack(">BBH", 0xFF, self.code, length & 0xFFFF) + self.content


def mutated_codestream(data: bytes, rng: random.Random) -> bytes:
    """A mutant of a frame in any of the kept syntaxes; of RLE, and of what has no such structure, by its bytes."""
    if rng.random() < 0.15:
        return damaged(data, rng)
    if (start := data.find(J2K_START, 0, 4096)) >= 0:
        return data[:start] + _jpeg2000(data[start:], rng)
    if data.startswith(b"\xff\xd8"):
        return _jpeg(data, rng)
    return _rle(data, rng)


def _rle(data: bytes, rng: random.Random) -> bytes:
    """The header's sixteen numbers: segments and where they begin (PS3.5 G.5)."""
    if len(data) < 64:
        return damaged(data, rng)
    numbers = list(struct.unpack("<16L", data[:64]))
    for _ in range(rng.choice((1, 1, 2))):
        numbers[rng.randrange(4)] = rng.choice((*SIZES, len(data), len(data) - 1, numbers[1] + 1))
    body = bytearray(data[64:])
    if body and rng.random() < 0.5:
        # A byte that tells how long a run is.
        body[rng.randrange(len(body))] = rng.choice((0, 127, 128, 129, 255))
    return struct.pack("<16L", *numbers) + bytes(body)


def _jpeg(data: bytes, rng: random.Random) -> bytes:
    segments, rest = _segments(data, 2, SOS)
    for _ in range(rng.choice((1, 1, 2))):
        if rng.random() < 0.25:
            rest = _changed_data(rest, rng)
        else:
            _change_segments(segments, JPEG_CODES, rng)
    return b"\xff\xd8" + b"".join(segment.written() for segment in segments) + rest


def _jpeg2000(data: bytes, rng: random.Random) -> bytes:
    segments, rest = _segments(data, 2, SOT)
    for _ in range(rng.choice((1, 1, 2))):
        draw = rng.random()
        if draw < 0.3 and segments:
            segments[0] = _changed_size(segments[0], rng)
        elif draw < 0.5:
            rest = _changed_tile_parts(rest, rng)
        elif draw < 0.6:
            rest = _changed_data(rest, rng)
        else:
            _change_segments(segments, J2K_CODES, rng)
    return b"\xff\x4f" + b"".join(segment.written() for segment in segments) + rest


def _segments(data: bytes, at: int, last: int) -> tuple[list[Segment], bytes]:
    """The segments from a place up to the marker `last`, and all from there on."""
    found = list[Segment]()
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != last:
        (length,) = struct.unpack_from(">H", data, at + 2)
        found.append(Segment(data[at + 1], data[at + 4 : at + 2 + length]))
        at += 2 + max(length, 2)
    return found, data[at:]


def _changed_size(size: Segment, rng: random.Random) -> Segment:
    """SIZ with other sides, tiles, offsets or components."""
    content = bytearray(size.content)
    if len(content) <= SIZ_COMPONENTS:
        return size  # it was cut short before
    for _ in range(rng.choice((1, 1, 2, 3))):
        if rng.random() < 0.7:
            struct.pack_into(">L", content, rng.choice(SIZ_NUMBERS), rng.choice(SIZES))
        else:
            content[rng.randrange(SIZ_COMPONENTS, len(content))] = rng.choice(BYTES)
    return Segment(size.code, bytes(content))


def _changed_tile_parts(rest: bytes, rng: random.Random) -> bytes:
    """Another tile, length, number of the part or of parts in the first SOT; or parts twice, or too few."""
    if len(rest) < 12:
        return rest
    changed = bytearray(rest)
    match rng.randrange(5):
        case 0:
            struct.pack_into(">H", changed, 4, rng.choice((0, 1, 255, 65535)))
        case 1:
            struct.pack_into(">L", changed, 6, rng.choice((*SIZES, 12, 13, 14, len(rest) - 2)))
        case 2:
            changed[10] = rng.choice(BYTES)
        case 3:
            changed[11] = rng.choice(BYTES)
        case _:
            return rng.choice((rest[:-2] + rest, rest[: len(rest) // 2] + rest[-2:], rest * 3))
    return bytes(changed)


def _changed_data(rest: bytes, rng: random.Random) -> bytes:
    """Coded data with other bytes, a marker in them, or an end too early or too late."""
    changed = bytearray(rest or b"\0")
    match rng.randrange(4):
        case 0:
            for _ in range(rng.choice((1, 3, 30))):
                changed[rng.randrange(len(changed))] = rng.randrange(256)
        case 1:
            at = rng.randrange(len(changed))
            changed[at:at] = bytes((0xFF, rng.choice((0x00, SOT, SOD, EOC, 0x91, 0x92, 0xD0, SOS, 0xC4, 0xFF))))
        case 2:
            del changed[rng.randrange(len(changed)) : -2]
        case _:
            at = rng.randrange(len(changed))
            changed[at : at + 64] = rng.choice((b"\0", b"\xff")) * 64
    return bytes(changed)


def _change_segments(segments: list[Segment], codes: tuple[int, ...], rng: random.Random) -> None:
    if not segments:
        return
    at = rng.randrange(len(segments))
    chosen = segments[at]
    match rng.randrange(8):
        case 0:
            del segments[at]
        case 1:
            segments.insert(rng.randrange(len(segments) + 1), Segment(chosen.code, chosen.content))
        case 2:
            rng.shuffle(segments)
        case 3:
            segments[at] = Segment(rng.choice(codes), chosen.content)
        case 4:
            segments[at] = Segment(chosen.code, chosen.content, rng.choice((0, 1, 2, 3, len(chosen.content), 65535)))
        case 5:
            odd = (b"", chosen.content[:-1], chosen.content * 2, bytes(60_000))
            segments[at] = Segment(chosen.code, rng.choice(odd))
        case _ if chosen.content:
            content = bytearray(chosen.content)
            for _ in range(rng.choice((1, 1, 2, 4))):
                content[rng.randrange(min(len(content), 40))] = rng.choice(BYTES)
            segments[at] = Segment(chosen.code, bytes(content))
