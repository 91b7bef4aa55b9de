"""The service among others: pages of other origins whose scripts call it, and a proxy that shows it below a path."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

from app.api.negotiation import RECEIPT_HEADER
from app.errors import SettingsError
from app.security.scopes import OPERATIONS

SENT: Final = ("Authorization", "Content-Type", "X-Request-ID")  # beside what browsers send of themselves
READ: Final = ("X-Request-ID", "Location", "Retry-After", "WWW-Authenticate", "Warning", RECEIPT_HEADER)


def allow_scripts_of(app: FastAPI, origins: Collection[str]) -> None:
    """Let scripts of these origins call the service and read its answers (Fetch standard, CORS). They show a key or
    token of their own: browsers are not told to send cookies or certificates."""
    app.add_middleware(
        CORSMiddleware,
        allow_origins=sorted(origins),
        allow_methods=sorted({method for method, _ in OPERATIONS}),
        allow_headers=SENT,
        expose_headers=READ,
    )


def require_free(root_path: str) -> None:
    """Raise SettingsError where a path of the service begins as the root path does: it would be taken for stripped."""
    if any(path.startswith(f"{root_path}/") for _, path in OPERATIONS):
        raise SettingsError(
            found="a LUNGSCOPE_ROOT_PATH that is the beginning of paths of the service itself",
            expected="another one, such as /lungscope",
            remedy="Show the service elsewhere.",
        )
