"""Rules for every path: its allowed methods, and slashes at its end."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse
from starlette.routing import BaseRoute, Match, Mount, Router
from starlette.types import Receive, Scope, Send

METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")  # what a route may be for; HEAD comes with GET


def allowed_methods(routes: Iterable[BaseRoute], scope: Scope) -> list[str]:
    """The methods of all routes on a request's path, for `Allow` (RFC 9110 10.2.1)."""
    found = {method for route in routes for method in _methods_of(route, scope)}
    return sorted(found | {"HEAD"} if "GET" in found else found)


def _methods_of(route: BaseRoute, scope: Scope) -> Iterable[str]:
    # It takes every method: its files are looked at, and refuse most.
    methods = METHODS[:1] if isinstance(route, Mount) else METHODS
    return (method for method in methods if _match(route, scope, scope["path"], method) is Match.FULL)


def _match(route: BaseRoute, scope: Scope, path: str, method: str) -> Match:
    root = scope.get("app_root_path", scope.get("root_path", ""))  # a mount has changed the second
    match, _ = route.matches({"type": "http", "method": method, "path": path, "root_path": root, "headers": []})
    return match


class NoRoute:
    """Redirects a path without a route to the same path without its last slash, if that has a route; else 404.

    The redirect is relative to the request's path, whatever its Host says.
    """

    def __init__(self, router: Router) -> None:
        self._router = router

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; raises HTTPException when the path leads nowhere."""
        path = scope["path"]
        bare = path.removesuffix("/")
        methods = (_match(route, scope, bare, "GET") for route in self._router.routes)
        if bare == path or bare.endswith("/") or all(match is Match.NONE for match in methods):
            raise HTTPException(404)
        query = scope.get("query_string", b"").decode("latin-1")
        location = "../" + quote(bare.rpartition("/")[2], safe="") + ("?" + query if query else "")
        await RedirectResponse(location)(scope, receive, send)
