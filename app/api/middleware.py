"""Request id, access log and metrics around every request, as plain ASGI: no body is touched. A full service answers on
the headers of a request alone."""

from __future__ import annotations

import hmac
import logging
import random
import time
import uuid
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import telemetry
from app.api import problems
from app.api.deps import Services
from app.api.problems import ProblemType
from app.errors import LungscopeError
from app.server.hooks import EarlyAnswer

REQUEST_ID: Final = b"x-request-id"
SECURITY_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
)
ANY_ID: Final = str(uuid.UUID(int=0)).encode()  # as long as any
WRITTEN: Final = 128  # a full worker says so with a few numbers of requests
EXPECTED: Final = "lungscope.expected"  # in the ASGI scope of a request that was let in: what the engine knows it by
STATIC_PREFIX: Final = "/docs/assets/"  # the docs pages' files may be cached
Header = tuple[bytes, bytes]
logger = logging.getLogger("lungscope.access")


class RequestContext:
    """Gives each request its id, answers with it, logs one line without path or address, and counts."""

    def __init__(self, app: ASGIApp, metrics: telemetry.Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; everything but HTTP passes through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _id_of(scope)
        token = telemetry.request_id.set(request_id)
        started = time.perf_counter()
        status: int | None = None

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                own = () if scope["path"].startswith(STATIC_PREFIX) else SECURITY_HEADERS
                message["headers"] = _with(message.get("headers", ()), (REQUEST_ID, request_id.encode()), *own)
            await send(message)

        self._metrics.in_flight.inc()
        try:
            await self._app(scope, receive, send_with_headers)
        # The outermost frame of a request: what nobody raised on purpose is logged and answered here.
        except Exception as error:
            logger.error("unhandled error", exc_info=error)
            if status is not None:
                raise
            await problems.internal_error(self._metrics)(scope, receive, send_with_headers)
        finally:
            self._metrics.in_flight.dec()
            _record(self._metrics, scope, status or 500, time.perf_counter() - started)
            telemetry.request_id.reset(token)


class EarlyAnswers:
    """Refuses a slice on the headers of its request, where there is no room: nothing else is done for it. Under
    overload most requests end so, and what each costs is taken from those that are answered.

    An `app.server.hooks.AnswerEarly` for POST on the path of `route`. Whatever else may be said of such a request is
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
        return _early_answer(scope, overload, services.metrics)

    def _authorised(self, scope: Scope) -> bool:
        """Whether the token is there; one that is shown in another way is looked at by the route."""
        if self._authorisation is None:
            return True
        shown = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        return hmac.compare_digest(shown, self._authorisation)


def _early_answer(scope: Scope, error: LungscopeError, metrics: telemetry.Metrics) -> EarlyAnswer:
    """The answer to a request for which nothing else was done, with all that `RequestContext` gives others.

    `scope` holds its headers, method and route.
    """
    started = time.perf_counter()
    request_id = _id_of(scope)
    kind = problems.problem_type(error)
    lines, body = _written(kind, **problems.details_of(error))
    metrics.problems(kind.code).inc()
    token = telemetry.request_id.set(request_id)
    try:
        _record(metrics, scope, kind.status, time.perf_counter() - started)
    finally:
        telemetry.request_id.reset(token)
    own = request_id.encode()
    return EarlyAnswer(kind.status, lines.replace(ANY_ID, own), body.replace(ANY_ID, own))


@lru_cache(maxsize=WRITTEN)
def _written(kind: ProblemType, **details: str) -> tuple[bytes, bytes]:
    """The lines of the headers, and the body, of the answer to a problem, with ANY_ID for the request's id.

    To write it anew takes as long as all else that is done for such a request.
    """
    token = telemetry.request_id.set(ANY_ID.decode())
    try:
        response = problems.response_of(kind, **details)
    finally:
        telemetry.request_id.reset(token)
    headers = _with(response.raw_headers, (REQUEST_ID, ANY_ID), *SECURITY_HEADERS)
    return b"".join(b"%b: %b\r\n" % header for header in headers), bytes(response.body)


def _record(metrics: telemetry.Metrics, scope: Scope, status: int, seconds: float) -> None:
    # The route's template, never the path: a path may name a study, and metrics need few labels.
    route = getattr(scope.get("route"), "path", "unknown")
    method = scope["method"] if scope["method"] in ("GET", "HEAD", "POST", "OPTIONS") else "other"
    metrics.requests(method, route, status).inc()
    metrics.latency(route).observe(seconds)
    if logger.isEnabledFor(logging.INFO):
        fields = {"method": method, "route": route, "status": status, "ms": round(seconds * 1000, 1)}
        logger.info("request", extra={"fields": fields})


def _id_of(scope: Scope) -> str:
    """The request's own id, or a new one."""
    return _accepted_id(next((value for name, value in scope["headers"] if name == REQUEST_ID), b""))


def _with(headers: Iterable[Header], *others: Header) -> list[Header]:
    """Headers and those of the others whose names are not among them; ASGI has names in small letters."""
    given = list(headers)
    names = {name for name, _ in given}
    return given + [header for header in others if header[0] not in names]


def _accepted_id(given: bytes) -> str:
    """The caller's id if it is a UUID, a new one otherwise."""
    try:
        return str(uuid.UUID(given.decode("latin-1"))) if given else _new_id()
    except ValueError:
        return _new_id()


def _new_id() -> str:
    """A random UUID. Nobody has to be kept from guessing it, and `uuid4` asks the system, which gives up Python's lock
    to a thread that computes."""
    return str(uuid.UUID(int=random.getrandbits(128), version=4))
