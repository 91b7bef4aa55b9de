"""Damage that knows nothing of a format: bytes changed, removed, moved, and files cut off."""

from __future__ import annotations

import random
from typing import Final

HEADER_BYTES: Final = 4096  # most damage goes where the structure is
NUMBERS: Final = (b"\xff\xff", b"\x00\x00", b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff", b"\x01\x00")


def damaged(data: bytes, rng: random.Random) -> bytes:
    """A copy with bytes changed, a piece removed, doubled or moved, an extreme number written, or the end cut off."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        length = len(out)
        if length < 8:
            break
        reach = min(length, HEADER_BYTES) if rng.random() < 0.7 else length
        at, size = rng.randrange(reach), rng.choice((1, 2, 4, 8, 64, 512))
        match rng.randrange(6):
            case 0:
                out[at] = rng.randrange(256)
            case 1:
                out[at] ^= 1 << rng.randrange(8)
            case 2:
                del out[at : at + size]
            case 3:
                source = rng.randrange(length)
                out[at:at] = out[source : source + size]
            case 4:
                number = rng.choice(NUMBERS)
                out[at : at + len(number)] = number
            case _ if rng.random() < 0.3:
                del out[at + rng.randrange(length) :]
    return bytes(out)
