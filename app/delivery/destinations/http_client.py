"""Asks one server by HTTP, with its credentials and the check of its certificate."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Final

import urllib3
from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError

CONNECT_TIMEOUT_S: Final = 10.0
READ_TIMEOUT_S: Final = 60.0
MAX_ANSWER_BYTES: Final = 1 << 20  # to one object
logger = logging.getLogger(__name__)
# It quotes addresses, which have the UIDs of a patient's study, and what it cannot parse of an answer.
logging.getLogger("urllib3").setLevel(logging.CRITICAL + 1)


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach a destination: root address, credentials (token, or user and password), and the check of its
    certificate.

    `ca_file` adds to the system's certificate authorities; `verify_tls=False` accepts any certificate.
    """

    url: str
    token: str | None = field(default=None, repr=False)
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    verify_tls: bool = True

    def headers(self) -> dict[str, str]:
        """The Authorization header of a request, if there are credentials."""
        if self.token is not None:
            return {"Authorization": f"Bearer {self.token}"}
        if self.user is not None:
            basic = urllib3.make_headers(basic_auth=f"{self.user}:{self.password or ''}")
            return {"Authorization": basic["authorization"]}
        return {}


class HttpClient:
    """Asks one server. It follows no redirect, which would take the credentials to another server."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._root = access.url.rstrip("/")
        timeout = urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=READ_TIMEOUT_S)
        self._pool = urllib3.PoolManager(timeout=timeout, retries=False, ssl_context=tls_context(access))

    def get(self, path: str, headers: Mapping[str, str]) -> BaseHTTPResponse:
        """The response, whatever its status, with its body still to be read; the caller closes it. Raises HTTPError."""
        own = {**headers, **self._access.headers()}
        return self._pool.request("GET", self._root + path, headers=own, preload_content=False)

    def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes] | None:
        """Status and body of the response, MAX_ANSWER_BYTES of it at most; None when the server does not answer."""
        try:
            response = self._pool.request(
                "POST",
                self._root + path,
                body=body,
                headers={**headers, **self._access.headers()},
                preload_content=False,
            )
            answer = response.read(MAX_ANSWER_BYTES)
            if len(answer) == MAX_ANSWER_BYTES:
                response.close()  # what is left of it would be taken for the next answer
            response.release_conn()
        except HTTPError as error:
            # Its text quotes the address; the type says enough.
            logger.warning("a destination does not answer: %s", type(error).__name__)
            return None
        if response.status >= HTTPStatus.MULTIPLE_CHOICES:
            logger.warning("a destination answered %d", response.status)
        return response.status, answer


def tls_context(access: Access) -> ssl.SSLContext:
    """How a destination's certificate is checked."""
    context = ssl.create_default_context()
    if access.ca_file is not None:
        context.load_verify_locations(access.ca_file)
    if not access.verify_tls:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
