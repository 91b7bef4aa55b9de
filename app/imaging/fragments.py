"""Where the fragments of encapsulated pixels lie in a file (PS3.5 A.4)."""

from __future__ import annotations

import struct
from typing import Final

from app.imaging.chunked import FileBytes, piece_of
from app.imaging.element_budget import MAX_FRAGMENTS, MAX_OFFSETS, too_complex

UNDEFINED_LENGTH: Final = 0xFFFFFFFF
ITEM_HEAD: Final = struct.Struct("<LL")  # tag, group first, and length of an item or a delimiter (PS3.5 7.5)
ITEM: Final = 0xE000FFFE
SEQUENCE_END: Final = 0xE0DDFFFE
TRAILING_PADDING: Final = 0xFFFCFFFC  # the one element that may follow Pixel Data (PS3.10 7.2)
SMALL_REST_BYTES: Final = 4096  # of zeros that pad a file to whole blocks
OFFSET_BYTES: Final = 4


def end_of_fragments(file: FileBytes, at: int) -> tuple[int, bool]:
    """Where the fragments that begin at a place end, and whether their delimiter stands there.

    Some writers leave it out. Raises EOFError for a fragment that is cut off or not followed by another, a
    delimiter, padding or zeros, and DicomTooComplex for more than are read, the table of their offsets included.
    """
    for ordinal in range(MAX_FRAGMENTS + 1):
        head = piece_of(file, at, at + ITEM_HEAD.size)
        tag, length = ITEM_HEAD.unpack(head) if len(head) == ITEM_HEAD.size else (None, 0)
        if tag in (SEQUENCE_END, TRAILING_PADDING):
            return at, tag == SEQUENCE_END
        if tag != ITEM:
            rest = bytes(piece_of(file, at, at + SMALL_REST_BYTES))
            if ITEM_HEAD.pack(SEQUENCE_END, 0).startswith(rest) or not rest.strip(b"\0"):
                return at, False
            raise EOFError
        at += ITEM_HEAD.size + length
        if length == UNDEFINED_LENGTH or at > len(file):
            raise EOFError
        # The first is the table (PS3.5 A.4), of which pydicom makes a number each.
        if not ordinal and length > MAX_OFFSETS * OFFSET_BYTES:
            raise too_complex(f"a table of {length // OFFSET_BYTES} fragments' offsets", f"at most {MAX_OFFSETS}")
    raise too_complex(f"more than {MAX_FRAGMENTS} fragments of Pixel Data", f"at most {MAX_FRAGMENTS}")
