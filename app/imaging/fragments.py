"""Where the fragments of encapsulated pixels lie in a file (PS3.5 A.4)."""

from __future__ import annotations

import struct
from typing import Final

from app.imaging.chunked import FileBytes, piece_of

UNDEFINED_LENGTH: Final = 0xFFFFFFFF
ITEM_HEAD: Final = struct.Struct("<LL")  # tag, group first, and length of an item or a delimiter (PS3.5 7.5)
ITEM: Final = 0xE000FFFE
SEQUENCE_END: Final = 0xE0DDFFFE
TRAILING_PADDING: Final = 0xFFFCFFFC  # the one element that may follow Pixel Data (PS3.10 7.2)
SMALL_REST_BYTES: Final = 4096  # of zeros that pad a file to whole blocks


def end_of_fragments(file: FileBytes, at: int) -> tuple[int, bool]:
    """Where the fragments that begin at a place end, and whether their delimiter stands there.

    Some writers leave it out. Raises EOFError for a fragment that is cut off or not followed by another, a
    delimiter, padding or zeros.
    """
    while True:
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
