"""Errors of who calls: unknown, not permitted, or too often."""

from __future__ import annotations

from app.errors.base import LungscopeError


class NotAuthorised(LungscopeError, code="not_authorised"):
    """The caller did not show a token that this service knows; `shown` says whether it showed any."""

    def __init__(self, *, found: str, expected: str, remedy: str, shown: bool = False) -> None:
        super().__init__(found=found, expected=expected, remedy=remedy)
        self.shown = shown


class Forbidden(LungscopeError, code="forbidden"):
    """The caller is known, and may not do this."""


class TooManyRequests(LungscopeError, code="too_many_requests"):
    """The caller asks too often, or too much at a time; `retry_after_s` says for how long."""

    def __init__(self, *, found: str, expected: str, remedy: str, retry_after_s: int = 1) -> None:
        super().__init__(found=found, expected=expected, remedy=remedy)
        self.retry_after_s = retry_after_s
