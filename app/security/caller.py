"""One who calls, as far as the service knows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from app.errors import Forbidden, NotAuthorised
from app.security.scopes import ADMIN, SCOPES, Access, Scope

BEARER: Final = "bearer"  # RFC 6750 2.1; schemes have no case (RFC 9110 11.1)


@dataclass(frozen=True, slots=True)
class Caller:
    """A name for the log, and the scopes that the caller has."""

    name: str
    scopes: frozenset[Scope]

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("a caller has a name")

    def may(self, access: Access) -> bool:
        """Whether the caller may do what needs `access`."""
        return access in ("open", "known") or access in self.scopes or ADMIN in self.scopes

    def require(self, access: Access) -> None:
        """Raise Forbidden unless the caller may do what needs `access`."""
        if self.may(access):
            return
        raise Forbidden(
            found=f"a caller without the scope {access}",
            expected=f"a key or token with the scope {access}",
            remedy="Ask the operator of this service for that scope.",
        )


# Whoever reaches the service where nobody has to say who they are.
ANYBODY: Final = Caller("anybody", SCOPES)


def shown_secret(authorization: str) -> str:
    """The key or token of an `Authorization: Bearer` header; empty where it has none."""
    scheme, _, secret = authorization.partition(" ")
    return secret.strip() if scheme.lower() == BEARER else ""


def unknown_caller(*, shown: bool) -> NotAuthorised:
    """The error for one who showed nothing (`shown` is false), or nothing that is known here."""
    return NotAuthorised(
        found="no token, or one that is not known here",
        expected="Authorization: Bearer <token>",
        remedy="Ask the operator of this service for a token.",
        shown=shown,
    )
