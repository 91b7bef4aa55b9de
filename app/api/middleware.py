"""Middleware for every request, in plain ASGI: request id, access log, metrics, the rules of HTTP, and HEAD.

No middleware reads or changes a body.
"""

from __future__ import annotations

import logging
import random
import re
import time
import uuid
from collections.abc import Iterable
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import telemetry
from app.api import page_policies, problems
from app.errors import BadHost, LungscopeError, UnknownExpectation, UnknownHost
from app.security.caller import ANYBODY
from app.security.hosts import TrustedHosts

REQUEST_ID: Final = b"x-request-id"
STATIC_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (page_policies.HEADER.encode(), page_policies.NOTHING.encode()),
)
SECURITY_HEADERS: Final = (*STATIC_HEADERS, (b"cache-control", b"no-store"))
# The docs pages' files may be cached, and the viewer's where the service says that they have not changed.
STATIC: Final = {
    "/docs/assets/": STATIC_HEADERS,
    "/viewer/": (*STATIC_HEADERS, (b"cache-control", b"no-cache")),
}
KNOWN_EXPECTATIONS: Final = (
    b"",
    b"100-continue",
)  # empty: a list of none, as which many clients are told to leave it out
# A name, or an address in brackets, and perhaps a port (RFC 9110 7.2); empty where the target has no authority.
HOST: Final = re.compile(rb"(?:[A-Za-z0-9\-._~!$&'()*+,;=%]*|\[[0-9A-Za-z:.%~_\-]+\])(?::[0-9]*)?")
Header = tuple[bytes, bytes]
logger = logging.getLogger("lungscope.access")


class RequestContext:
    """Gives each request its id, puts the id into the response, writes one log line without path or address, and
    counts."""

    def __init__(self, app: ASGIApp, metrics: telemetry.Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; everything but HTTP passes through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = id_of(scope)
        token = telemetry.request_id.set(request_id)
        started = time.perf_counter()
        own = next((h for path, h in STATIC.items() if scope["path"].startswith(path)), SECURITY_HEADERS)
        status: int | None = None

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = with_headers(message.get("headers", ()), (REQUEST_ID, request_id.encode()), *own)
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
            record(self._metrics, scope, status or 500, time.perf_counter() - started)
            telemetry.request_id.reset(token)


class WellFormed:
    """Answers 400 without exactly one Host (RFC 9112 3.2), 421 where that is not one of `hosts` (RFC 9110 15.5.20), and
    417 to an unknown Expect (RFC 9110 10.1.1)."""

    def __init__(self, app: ASGIApp, metrics: telemetry.Metrics, hosts: TrustedHosts) -> None:
        self._app = app
        self._metrics = metrics
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; everything but HTTP passes through."""
        fault = _fault(scope, self._hosts) if scope["type"] == "http" else None
        if fault is None:
            await self._app(scope, receive, send)
        else:
            await problems.response_to(fault, self._metrics)(scope, receive, send)


def _fault(scope: Scope, trusted: TrustedHosts) -> LungscopeError | None:
    hosts = 0
    for name, value in scope["headers"]:
        if name == b"host":
            hosts += 1
            if HOST.fullmatch(value) is None:
                return _bad_host("a Host header that is no host")
            if not trusted.holds(value.decode("latin-1")):
                return UnknownHost(
                    found="a request for another host",
                    expected="an address, or a name in LUNGSCOPE_TRUSTED_HOSTS",
                    remedy="Ask the operator of this service to add the name there.",
                )
        elif name == b"expect" and value.lower() not in KNOWN_EXPECTATIONS:
            return UnknownExpectation(
                found="an expectation that is not known", expected="100-continue", remedy="Leave out Expect."
            )
    if hosts > 1:
        return _bad_host(f"{hosts} Host headers")
    if not hosts and scope.get("http_version") == "1.1":
        return _bad_host("no Host header")
    return None


def _bad_host(found: str) -> BadHost:
    return BadHost(found=found, expected="one, that of the URL", remedy="Use an HTTP library to write the request.")


class HeadAsGet:
    """Answers HEAD as GET, without the body (RFC 9110 9.3.2)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; everything but HEAD passes through."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_head(message: Message) -> None:
            if message["type"] in ("http.response.body", "http.response.pathsend"):
                message = {"type": "http.response.body", "body": b"", "more_body": message.get("more_body", False)}
            await send(message)

        # A copy: the server must know that it was HEAD, or it misses the bytes that Content-Length announces.
        asked = {**scope, "method": "GET"}
        try:
            await self._app(asked, receive, send_head)
        finally:
            if "route" in asked:
                scope["route"] = asked["route"]  # the metrics' name for it


class BelowRoot:
    """Gives every path the root path at which a proxy shows the service, as ASGI wants it: some proxies strip it."""

    def __init__(self, app: ASGIApp, root_path: str) -> None:
        self._app = app
        self._root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; everything but HTTP passes through."""
        # In place: who is outside reads in the scope which route was found.
        if scope["type"] == "http":
            scope["root_path"] = self._root_path
            if not scope["path"].startswith(f"{self._root_path}/"):
                scope["path"] = self._root_path + scope["path"]
        await self._app(scope, receive, send)


def record(metrics: telemetry.Metrics, scope: Scope, status: int, seconds: float) -> None:
    # The route's template, never the path: a path may name a study, and metrics need few labels.
    route = getattr(scope.get("route"), "path", "unknown")
    method = scope["method"] if scope["method"] in ("GET", "HEAD", "POST", "DELETE", "OPTIONS") else "other"
    metrics.requests(method, route, status).inc()
    metrics.latency(route).observe(seconds)
    if logger.isEnabledFor(logging.INFO):
        fields = {"method": method, "route": route, "status": status, "ms": round(seconds * 1000, 1)}
        caller = scope.get("state", {}).get("caller")
        if caller is not None and caller is not ANYBODY:
            fields["caller"] = caller.name
        logger.info("request", extra={"fields": fields})


def id_of(scope: Scope) -> str:
    """The id that the client sent, or a new one."""
    return _accepted_id(next((value for name, value in scope["headers"] if name == REQUEST_ID), b""))


def with_headers(headers: Iterable[Header], *others: Header) -> list[Header]:
    """The headers, and those of `others` whose names are not among them; ASGI writes names in small letters."""
    given = list(headers)
    names = {name for name, _ in given}
    return given + [header for header in others if header[0] not in names]


def _accepted_id(given: bytes) -> str:
    """The client's id if it is a UUID, a new one otherwise."""
    try:
        return str(uuid.UUID(given.decode("latin-1"))) if given else _new_id()
    except ValueError:
        return _new_id()


def _new_id() -> str:
    """A random UUID, without asking the system as `uuid4` does.

    Nobody has to be kept from guessing the id, and a system call gives Python's lock to a thread that computes.
    """
    return str(uuid.UUID(int=random.getrandbits(128), version=4))
