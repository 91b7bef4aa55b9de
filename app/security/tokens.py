"""JSON web tokens of an identity provider (RFC 7519, OpenID Connect Core 1.0), checked as RFC 8725 asks."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from app.security.caller import Caller, unknown_caller
from app.security.key_sets import KeySet
from app.security.scopes import SCOPES

# Signatures only: with HS256 whoever knows a public key could sign, and `none` signs nothing (RFC 8725 3.1).
ALGORITHMS: Final = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)
REQUIRED: Final = ("exp", "iss", "aud", "sub")
MAX_LENGTH: Final = 8192  # characters of a token
PREFIX: Final = "lungscope:"  # of our scopes among those of others at the same provider
KNOWN_TOKENS: Final = 1024
KNOWN_FOR_S: Final = 60.0  # a key that is withdrawn, or a set that is replaced, counts for tokens after this at last


@dataclass(frozen=True, slots=True)
class TokenRules:
    """What a token must say: who made it, and for whom. `leeway_s` is how far the clocks may differ; `scope_claim`
    holds the scopes, as text between spaces or as a list."""

    issuer: str
    audience: str
    leeway_s: float = 30
    scope_claim: str = "scope"


class Tokens:
    """Tells callers by their tokens."""

    def __init__(self, rules: TokenRules, keys: KeySet, clock: Callable[[], float] = time.time) -> None:
        self._rules = rules
        self._keys = keys
        self._clock = clock
        self._known: dict[bytes, tuple[Caller, float]] = {}  # until when, by the token's SHA-256

    def known(self, token: str) -> Caller | None:
        """The caller of a token that was checked a moment ago; None for any other."""
        caller, until = self._known.get(_digest(token), (None, 0.0))
        return caller if self._clock() < until else None

    async def caller(self, token: str) -> Caller:
        """The caller of a token; raises NotAuthorised, and IdentityUnavailable without keys to check it with."""
        if (known := self.known(token)) is not None:
            return known
        claims = await self._checked(token)
        caller = Caller(f"jwt:{claims['sub']}", _scopes(claims, self._rules.scope_claim))
        if len(self._known) >= KNOWN_TOKENS:
            self._known.clear()
        ends = float(claims["exp"]) + self._rules.leeway_s
        self._known[_digest(token)] = (caller, min(ends, self._clock() + KNOWN_FOR_S))
        return caller

    async def _checked(self, token: str) -> dict[str, Any]:
        # Imports OpenSSL's bindings: for those who use tokens.
        import jwt

        if len(token) > MAX_LENGTH:
            raise unknown_caller(shown=True)
        try:
            header = jwt.get_unverified_header(token)
            algorithm, kid = header.get("alg"), header.get("kid")
            if not isinstance(algorithm, str) or algorithm not in ALGORITHMS or not isinstance(kid, str | None):
                raise unknown_caller(shown=True)
            key = await self._keys.key(kid, algorithm)
            if key is None:
                raise unknown_caller(shown=True)
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=self._rules.audience,
                issuer=self._rules.issuer,
                leeway=self._rules.leeway_s,
                options={"require": list(REQUIRED)},
            )
        # Beside its own errors PyJWT lets through those of what it calls: strangers choose the JSON of the header.
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError):
            raise unknown_caller(shown=True) from None
        if not isinstance(claims["sub"], str) or not claims["sub"]:
            raise unknown_caller(shown=True)
        return claims


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _scopes(claims: Mapping[str, Any], claim: str) -> frozenset[Any]:
    """Our scopes in a claim; one that lies within others is named by dots (`realm_access.roles`)."""
    found: Any = claims
    for name in claim.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    words = found.split() if isinstance(found, str) else found if isinstance(found, list) else []
    return frozenset(scope for scope in SCOPES if f"{PREFIX}{scope}" in words)
