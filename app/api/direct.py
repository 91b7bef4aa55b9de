"""One operation past FastAPI's middleware and routing, which cost as much as reading a slice."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.problems import Handler


class Endpoint:
    """Answers by `endpoint`, and the errors that it raises by their `handlers`; others are not caught.

    The same operation is a `route` of the application too: that one is documented, answers other methods, and is what
    the metrics name.
    """

    def __init__(
        self,
        endpoint: Callable[[Request], Awaitable[Response]],
        route: BaseRoute,
        handlers: Mapping[type[Exception], Handler],
    ) -> None:
        self._endpoint = endpoint
        self._route = route
        self._handlers = handlers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        scope["route"] = self._route
        request = Request(scope, receive, send)
        try:
            response = await self._endpoint(request)
        except Exception as error:
            handler = next((self._handlers[kind] for kind in type(error).__mro__ if kind in self._handlers), None)
            if handler is None:
                raise
            response = await handler(request, error)
        await response(scope, receive, send)


class Application(FastAPI):
    """FastAPI, of which POST on `direct_path`, once that is set, is answered by `direct` instead."""

    direct_path: str | None = None
    direct: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and scope["path"] == self.direct_path and scope["method"] == "POST":
            scope["app"] = self
            await self.direct(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)
