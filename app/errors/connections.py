"""Errors of connections and of what comes over them before it is a request to anything."""

from __future__ import annotations

from app.errors.base import LungscopeError, Unavailable


class HeadTooLarge(LungscopeError, code="request_head_too_large"):
    """More header bytes or lines than are read of one request."""


class UrlTooLong(LungscopeError, code="url_too_long"):
    """A request's target of more bytes than are read."""


class RequestTooSlow(LungscopeError, code="request_too_slow"):
    """The headers of a request did not come in time."""


class TooManyOfAddress(LungscopeError, code="too_many_of_address"):
    """One address has as many connections as it may have, all of them at work."""


class TooManyConnections(Unavailable, code="too_many_connections"):
    """As many connections are open as may be, all of them at work."""


class MalformedRequest(LungscopeError, code="malformed_request"):
    """What came over the connection is no request, or it does not say where its body ends."""


class BadHost(LungscopeError, code="bad_host"):
    """The request does not name the one host that it is for."""


class UnknownHost(LungscopeError, code="unknown_host"):
    """The request is for a host that this service is not."""


class UnknownExpectation(LungscopeError, code="unknown_expectation"):
    """The request depends on something that is not known here."""


class UnknownMethod(LungscopeError, code="unknown_method"):
    """The request asks for something to be done that is not done for anything here."""


class UnsupportedVersion(LungscopeError, code="unsupported_http_version"):
    """The request is in a version of its protocol that is not spoken here."""
