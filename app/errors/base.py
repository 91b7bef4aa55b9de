"""What every error raised on purpose has."""

from __future__ import annotations

from typing import ClassVar


class LungscopeError(Exception):
    """An error raised on purpose: what was `found`, what was `expected`, and the `remedy`.

    `code` is the stable name by which clients know an error that can reach them.
    """

    code: ClassVar[str] = "internal_error"

    def __init_subclass__(cls, code: str | None = None) -> None:
        super().__init_subclass__()
        cls.code = code or cls.code

    def __init__(self, *, found: str, expected: str, remedy: str) -> None:
        super().__init__(f"Found {found}; expected {expected}. {remedy}")
        self.found = found
        self.expected = expected
        self.remedy = remedy


class Unavailable(LungscopeError):
    """The service cannot answer now; the same request may succeed later."""
