"""What is refused whatever it asks for: requests that break the rules of HTTP for all of them."""

from __future__ import annotations

import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from app.api import problems
from app.api.middleware import early_answer
from app.errors import BadHost, LungscopeError, MalformedRequest, UnknownExpectation, UnknownMethod, UnsupportedVersion
from app.security import EarlyAnswer
from app.telemetry import Metrics

# A name, or an address in brackets, and perhaps a port (RFC 9110 7.2); empty where the target has no authority.
HOST: Final = re.compile(rb"(?:[A-Za-z0-9\-._~!$&'()*+,;=%]*|\[[0-9A-Za-z:.%~_\-]+\])(?::[0-9]*)?")


class WellFormed:
    """Refuses a request without its one Host (RFC 9112 3.2), or that expects what is not known (RFC 9110 10.1.1)."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; everything but HTTP passes through."""
        fault = _fault(scope) if scope["type"] == "http" else None
        if fault is None:
            await self._app(scope, receive, send)
        else:
            await problems.refusal(fault, self._metrics)(scope, receive, send)


def _fault(scope: Scope) -> LungscopeError | None:
    hosts = 0
    for name, value in scope["headers"]:
        if name == b"host":
            hosts += 1
            if HOST.fullmatch(value) is None:
                return _bad_host("a Host header that is no host")
        elif name == b"expect" and value.lower() != b"100-continue":
            return UnknownExpectation(
                found="an expectation that is not known", expected="100-continue", remedy="Leave out Expect."
            )
    if hosts > 1:
        return _bad_host(f"{hosts} Host headers")
    if not hosts and scope.get("http_version") == "1.1":
        return _bad_host("no Host header")
    return None


def _bad_host(found: str) -> BadHost:
    return BadHost(found=found, expected="one, as in the URL", remedy="Have an HTTP library write the request.")


def malformed_answers(metrics: Metrics) -> Callable[[HTTPStatus], EarlyAnswer]:
    """An `app.security.AnswerMalformed`, which counts what it answers."""

    def answer(status: HTTPStatus) -> EarlyAnswer:
        return early_answer({"method": "", "headers": ()}, _error(status), metrics)

    return answer


def _error(status: HTTPStatus) -> LungscopeError:
    remedy = "Have an HTTP library write the request."
    if status == HTTPStatus.NOT_IMPLEMENTED:
        return UnknownMethod(found="a method that is not known", expected="GET, HEAD or POST", remedy=remedy)
    if status == HTTPStatus.HTTP_VERSION_NOT_SUPPORTED:
        return UnsupportedVersion(found="another version of HTTP", expected="HTTP/1.1 or HTTP/1.0", remedy=remedy)
    return MalformedRequest(found="what is no HTTP request", expected="HTTP/1.1 (RFC 9112)", remedy=remedy)
