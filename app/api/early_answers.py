"""Answers that the shipped server sends when it has read only the headers of a request (`app.server.hooks`)."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from functools import lru_cache
from http import HTTPStatus
from typing import Final

from starlette.routing import Route
from starlette.types import Scope

from app import telemetry
from app.api import problems
from app.api.deps import Services
from app.api.middleware import REQUEST_ID, SECURITY_HEADERS, id_of, record, with_headers
from app.api.problems import ProblemType
from app.errors import (
    HeadTooLarge,
    LungscopeError,
    MalformedRequest,
    RequestTooSlow,
    TooManyConnections,
    TooManyOfAddress,
    UnknownMethod,
    UnsupportedVersion,
    UrlTooLong,
)
from app.security.scopes import access_to
from app.server.hooks import EarlyAnswer
from app.settings import Settings

EXPECTED: Final = "lungscope.expected"  # in the ASGI scope of a request that was let in: what the engine knows it by
ANY_ID: Final = str(uuid.UUID(int=0)).encode()  # as long as any
WRITTEN: Final = 128  # a full worker says so with a few numbers of requests


class EarlyAnswers:
    """Answers 503 on the headers of a slice's request when the queue is full (an `app.server.hooks.AnswerEarly`).

    It does so for POST on the path of `route`. Under overload most requests end this way, and the time that each costs
    is lost to the others. All other checks of the request are left to the route, which gives the same answer when the
    queue is full.

    A request that is let in counts from then on. Otherwise many requests in one turn of the event loop would each find
    the same free place.
    """

    def __init__(self, services: Services, route: Route) -> None:
        self._services = services
        self._route = route
        self._access = access_to("POST", route.path)

    def __call__(self, scope: Scope, length: int) -> EarlyAnswer | None:
        """The 503 answer; None for a request that goes to its route."""
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
        """Whether it is known already that the caller may do this; the route asks about any other."""
        shown = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        caller = self._services.callers.known(shown.decode("latin-1"))
        return caller is not None and caller.may(self._access)


def early_answer(scope: Scope, error: LungscopeError, metrics: telemetry.Metrics) -> EarlyAnswer:
    """The answer to a request that went no further, with the id, log line and count that `RequestContext` gives the
    others.

    `scope` holds its headers, method and route.
    """
    started = time.perf_counter()
    request_id = id_of(scope)
    kind = problems.problem_type(error)
    lines, body = _written(kind, **problems.details_of(error))
    metrics.problems(kind.code).inc()
    token = telemetry.request_id.set(request_id)
    try:
        record(metrics, scope, kind.status, time.perf_counter() - started)
    finally:
        telemetry.request_id.reset(token)
    own = request_id.encode()
    return EarlyAnswer(kind.status, lines.replace(ANY_ID, own), body.replace(ANY_ID, own))


@lru_cache(maxsize=WRITTEN)
def _written(kind: ProblemType, **details: str) -> tuple[bytes, bytes]:
    """The header lines and the body of a problem, with ANY_ID in place of the request's id.

    Writing it anew would take as long as all other work for such a request.
    """
    token = telemetry.request_id.set(ANY_ID.decode())
    try:
        response = problems.response_of(kind, **details)
    finally:
        telemetry.request_id.reset(token)
    headers = with_headers(response.raw_headers, (REQUEST_ID, ANY_ID), *SECURITY_HEADERS)
    return b"".join(b"%b: %b\r\n" % header for header in headers), bytes(response.body)


def malformed_answers(metrics: telemetry.Metrics, settings: Settings) -> Callable[[HTTPStatus], EarlyAnswer]:
    """A hook `app.server.hooks.AnswerMalformed` that counts its answers."""

    def answer(status: HTTPStatus) -> EarlyAnswer:
        return early_answer({"method": "", "headers": ()}, _malformed(status, settings), metrics)

    return answer


def _malformed(status: HTTPStatus, settings: Settings) -> LungscopeError:
    remedy = "Use an HTTP library to write the request."
    later = "Try again after the seconds in Retry-After, and close connections that are not used."
    match status:
        case HTTPStatus.NOT_IMPLEMENTED:
            return UnknownMethod(found="a method that is not known", expected="GET, HEAD or POST", remedy=remedy)
        case HTTPStatus.HTTP_VERSION_NOT_SUPPORTED:
            return UnsupportedVersion(found="another version of HTTP", expected="HTTP/1.1 or HTTP/1.0", remedy=remedy)
        case HTTPStatus.REQUEST_URI_TOO_LONG:
            most = f"at most {settings.max_url_kb} kB"
            return UrlTooLong(found="a longer URL", expected=most, remedy="Send parameters as fields of a form.")
        case HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE:
            most = f"at most {settings.max_headers} headers with {settings.max_header_kb} kB"
            return HeadTooLarge(found="more headers or trailers", expected=most, remedy="Send fewer headers.")
        case HTTPStatus.REQUEST_TIMEOUT:
            most = f"all headers within {settings.header_seconds} s"
            return RequestTooSlow(found="the beginning of a request", expected=most, remedy="Send it at once.")
        case HTTPStatus.TOO_MANY_REQUESTS:
            most = f"at most {settings.max_connections_per_address} at work"
            return TooManyOfAddress(found="one more connection of this address", expected=most, remedy=later)
        case HTTPStatus.SERVICE_UNAVAILABLE:
            most = f"at most {settings.max_connections}, or as many as files may be open"
            return TooManyConnections(found="one more connection", expected=most, remedy=later)
        case _:
            return MalformedRequest(
                found="bytes that are not an HTTP request", expected="HTTP/1.1 (RFC 9112)", remedy=remedy
            )
