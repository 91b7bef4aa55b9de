"""Mutations of pixel data: their values, their number, and how encapsulated ones lie in fragments (PS3.5 A.4)."""

from __future__ import annotations

import random
import struct
from typing import Final

import numpy as np

from benchmarks.fuzz.codestreams import mutated_codestream
from benchmarks.fuzz.tree import PIXEL_DATA, UNDEFINED, Element, File

OFFSET_TABLES: Final = (0x7FE00001, 0x7FE00002)  # Extended Offset Table and its lengths


def pixel_values(file: File, rng: random.Random) -> None:
    """Other pixels: one value throughout, noise, a checked pattern, or the same with a little or a lot added."""
    element = file.find(PIXEL_DATA)
    if element is None or element.fragments is not None or element.vr != "OW" or len(element.value) % 2:
        return
    values = np.frombuffer(element.value, "<u2")
    noise = np.random.default_rng(rng.randrange(1 << 32))
    spread = rng.choice((1, 10, 30, 100, 1000))
    added = values + np.rint(noise.normal(0, spread, values.shape))
    made = rng.choice(
        (
            np.full(values.shape, rng.choice((0, 124, 1024, 32768, 65535))),
            noise.integers(0, 1 << rng.choice((8, 12, 16)), values.shape),
            np.indices(values.shape)[0] % rng.choice((2, 3, 17)) * rng.choice((1, 1000, 65535)),
            values[::-1],
            added,
            added,
        )
    )
    element.value = np.clip(made, 0, 65535).astype("<u2").tobytes()


def pixel_bytes(file: File, rng: random.Random) -> None:
    """Pixel data too short, too long, empty, twice, of another form, or under the tag of float pixels."""
    element = file.find(PIXEL_DATA)
    if element is None:
        return
    if element.fragments is not None:
        _change_fragments(file, element.fragments, element, rng)
        return
    value = element.value
    element.value = rng.choice(
        (b"", value[:-2], value[:-1], value[: len(value) // 2], value + b"\0\0", value * 2, b"\0")
    )
    if rng.random() < 0.15:
        element.fragments, element.vr = [b"", element.value], "OB"
    if rng.random() < 0.1:
        element.tag, element.vr = rng.choice(((0x7FE00008, "OF"), (0x7FE00009, "OD")))


def codestream(file: File, rng: random.Random) -> None:
    """A compressed frame changed by its own structure."""
    element = file.find(PIXEL_DATA)
    if element is not None and element.fragments:
        chosen = rng.randrange(1, len(element.fragments)) if len(element.fragments) > 1 else 0  # 0 is the offset table
        element.fragments[chosen] = mutated_codestream(element.fragments[chosen], rng)


def _change_fragments(file: File, fragments: list[bytes], element: Element, rng: random.Random) -> None:
    last = fragments[-1] if fragments else b""
    match rng.randrange(8):
        case 0:
            fragments[0] = struct.pack("<L", rng.choice((0, 4, 7, len(last), UNDEFINED))) * rng.choice((1, 2, 9))
        case 1:
            fragments[-1:] = [last[: len(last) // 2], last[len(last) // 2 :]]
        case 2:
            fragments[-1:] = rng.choice(([], [b""], [last, b""], [last, last], [last + b"\0"], [b"\0" + last]))
        case 3:
            element.ended = False
        case 4:
            fragments[-1:] = [last[at : at + 16] for at in range(0, len(last), 16)]
        case 5:
            file.put(
                Element(OFFSET_TABLES[0], "OV", struct.pack("<Q", rng.choice((0, 8, 1 << 40))) * rng.choice((1, 2)))
            )
            file.put(Element(OFFSET_TABLES[1], "OV", struct.pack("<Q", rng.choice((0, len(last), 1 << 63)))))
        case _:
            fragments[-1] = mutated_codestream(last, rng)
