"""Who may call."""

from __future__ import annotations

import hmac

from app.errors import NotAuthorised


def require_token(shown: str, token: str) -> None:
    """Raise NotAuthorised unless the token shown is the one configured."""
    # Compared in constant time: the time taken must not tell how much of a guess was right.
    if not hmac.compare_digest(shown.encode(), token.encode()):
        raise NotAuthorised(
            found="no token, or one that is not known here",
            expected="Authorization: Bearer <token>",
            remedy="Ask the operator of this service for a token.",
        )
