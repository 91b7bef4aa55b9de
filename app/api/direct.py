"""One operation without FastAPI's routing and solving of dependencies, which cost as much as reading a slice."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.problems import Handler


class Direct:
    """Middleware that answers POST on `path` by `endpoint` and passes everything else on.

    The same operation is a `route` of the application too: that one is documented, answers other methods, and is what
    the metrics name.
    """

    def __init__(
        self,
        app: ASGIApp,
        path: str,
        endpoint: Callable[[Request], Awaitable[Response]],
        route: BaseRoute,
        handlers: Mapping[type[Exception], Handler],
    ) -> None:
        self._app = app
        self._path = path
        self._endpoint = endpoint
        self._route = route
        self._answered = ExceptionMiddleware(self._answer, dict(handlers))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and scope["path"] == self._path and scope["method"] == "POST":
            scope["route"] = self._route
            await self._answered(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._endpoint(Request(scope, receive, send))
        await response(scope, receive, send)
