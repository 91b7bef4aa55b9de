"""Everybody who may call: those with the one token, with keys, or with tokens of an identity provider."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from app.security.caller import ANYBODY, Caller, shown_secret, unknown_caller
from app.security.keys import KeyFile, Keys, digest_of
from app.security.scopes import ADMIN
from app.security.tokens import Tokens

THE_TOKEN: Final = "api-token"  # the name of whoever shows LUNGSCOPE_API_TOKEN


def keys_of_token(token: str | None) -> Keys:
    """The one token as a key for everything; none without it."""
    return {} if token is None else {digest_of(token): Caller(THE_TOKEN, frozenset({ADMIN}))}


@dataclass(frozen=True, slots=True)
class Callers:
    """Who may call. Without any of the three it is anybody."""

    token: Keys
    keys: KeyFile | None = None
    tokens: Tokens | None = None

    @property
    def guarded(self) -> bool:
        """Whether a caller must show something."""
        return bool(self.token) or self.keys is not None or self.tokens is not None

    def known(self, authorization: str) -> Caller | None:
        """The caller by an `Authorization` header, as far as nobody else must be asked; None for any other."""
        if not self.guarded:
            return ANYBODY
        secret = shown_secret(authorization)
        if not secret:
            return None
        digest = digest_of(secret)
        found = self.token.get(digest) or (self.keys.keys().get(digest) if self.keys is not None else None)
        return found or (self.tokens.known(secret) if self.tokens is not None else None)

    async def identify(self, authorization: str) -> Caller:
        """The caller by an `Authorization` header.

        Raises NotAuthorised, and IdentityUnavailable while a token of the identity provider cannot be checked.
        """
        if (known := self.known(authorization)) is not None:
            return known
        secret = shown_secret(authorization)
        # A token has three parts between points (RFC 7515 3.1); a key has none.
        if self.tokens is not None and secret.count(".") == 2:
            return await self.tokens.caller(secret)
        raise unknown_caller(shown=bool(secret))
