"""Refuses a slice on the headers of its request alone, where there is no room: nothing else is done for it.

Under overload most requests end so, and what each costs is taken from those that are answered.
"""

from __future__ import annotations

import hmac
from typing import Final

from starlette.routing import Route
from starlette.types import Scope

from app.api.deps import Services
from app.api.middleware import early_answer
from app.server.hooks import EarlyAnswer

EXPECTED: Final = "lungscope.expected"  # in the ASGI scope of a request that was let in: what the engine knows it by


class EarlyAnswers:
    """An `app.server.hooks.AnswerEarly` for POST on the path of `route`. Whatever else may be said of such a request is
    left to the route, which finds the same when there is no room.

    One that is let in counts from then on: of many that come in one turn of the event loop, each would find the room
    that one can have.
    """

    def __init__(self, services: Services, route: Route) -> None:
        self._services = services
        self._route = route
        token = services.settings.api_token
        self._authorisation = None if token is None else f"Bearer {token.get_secret_value()}".encode()

    def __call__(self, scope: Scope, length: int) -> EarlyAnswer | None:
        """The 503, or None where the request is to take its way."""
        if scope["path"] != self._route.path or scope["method"] != "POST":
            return None
        services = self._services
        overload = services.engine.overload(length)
        if not self._authorised(scope):
            return None
        if overload is None:
            scope[EXPECTED] = services.engine.expect()
            return None
        scope["route"] = self._route
        return early_answer(scope, overload, services.metrics)

    def _authorised(self, scope: Scope) -> bool:
        """Whether the token is there; one that is shown in another way is looked at by the route."""
        if self._authorisation is None:
            return True
        shown = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        return hmac.compare_digest(shown, self._authorisation)
