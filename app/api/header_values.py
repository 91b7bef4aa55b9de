"""Values of headers with parameters (RFC 9110 5.6.6), within bounds: the time to read one grows with the square of its
length, and the event loop reads it."""

from __future__ import annotations

from typing import Final

from python_multipart.multipart import parse_options_header

from app.errors import HeadTooLarge

MAX_VALUE_CHARACTERS: Final = 4096  # of all headers of one name; a boundary may have 256


def options_of(value: str) -> tuple[bytes, dict[bytes, bytes]]:
    """The value without its parameters, in small letters, and these by name; raises HeadTooLarge."""
    return parse_options_header(within_bounds(value))


def within_bounds(value: str) -> str:
    """The value itself; raises HeadTooLarge for one of more than MAX_VALUE_CHARACTERS."""
    if len(value) > MAX_VALUE_CHARACTERS:
        raise HeadTooLarge(
            found=f"a header value of {len(value)} characters",
            expected=f"at most {MAX_VALUE_CHARACTERS} in Accept, Accept-Language and Content-Type",
            remedy="Name what is meant, and no more.",
        )
    return value
