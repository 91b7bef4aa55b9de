"""Who may call, and how much they may send."""

from __future__ import annotations

import hmac
from collections.abc import AsyncGenerator

from fastapi import Request

from app.errors import InputTooLarge, InvalidParameter, NotAuthorised


def require_token(shown: str, token: str) -> None:
    """Raise NotAuthorised unless the token shown is the one configured."""
    # Compared in constant time: the time taken must not tell how much of a guess was right.
    if not hmac.compare_digest(shown.encode(), token.encode()):
        raise NotAuthorised(
            found="no token, or one that is not known here",
            expected="Authorization: Bearer <token>",
            remedy="Ask the operator of this service for a token.",
        )


async def bounded_body(request: Request, max_bytes: int) -> AsyncGenerator[bytes, None]:
    """The chunks of a request's body; raises InputTooLarge at once when more is announced, or as soon as it comes."""
    announced = request.headers.get("content-length", "0")
    if not announced.isdecimal():
        raise InvalidParameter(found="a Content-Length that is no number", expected="a number", remedy="Correct it.")
    _check(int(announced), max_bytes)
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        _check(received, max_bytes)
        yield chunk


def _check(found: int, max_bytes: int) -> None:
    if found > max_bytes:
        raise InputTooLarge(
            found=f"a body of {found} bytes or more",
            expected=f"at most {max_bytes} bytes",
            remedy="Send one slice; the operator can raise LUNGSCOPE_MAX_BODY_MB.",
        )
