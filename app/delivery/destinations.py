"""Destinations of results: a DICOMweb archive (STOW-RS, PS3.18 10.5) and a FHIR server (R4 transaction)."""

from __future__ import annotations

import json
import logging
import ssl
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, Literal, Protocol

import urllib3
from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError

from app.reports.result import ObjectKind

Outcome = Literal["delivered", "retry", "refused"]
CONNECT_TIMEOUT_S: Final = 10.0
READ_TIMEOUT_S: Final = 60.0
MAX_ANSWER_BYTES: Final = 1 << 20  # to one object
FAILED_SOP_SEQUENCE: Final = "00081198"
FAILURE_REASON: Final = "00081197"
DUPLICATE_INSTANCE: Final = 0x0111
REFUSED_REASONS: Final = frozenset({0x0122, 0x0124})  # SOP class not supported, not authorised for it (PS3.18 I.2)
NOT_AS_SENT: Final = (range(0xA900, 0xAA00), range(0xC000, 0xD000))  # does not match its SOP class, not understood
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


class Refused(Exception):
    """A destination will never take an object; `code` says why in its own terms, without patient data."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Destination(Protocol):
    """Takes result objects of one kind. Logs and metrics show its name."""

    @property
    def name(self) -> str:
        """The name of the destination."""
        ...

    @property
    def kind(self) -> ObjectKind:
        """The kind of objects that it takes."""
        ...

    def send(self, content: bytes) -> Outcome:
        """Send one object; `refused` when sending it again cannot help. Raises Refused where there is a code for it."""
        ...


class StowDestination:
    """A DICOMweb archive; an object that the archive already has counts as delivered."""

    kind: ObjectKind = "dicom"

    def __init__(self, access: Access, name: str = "pacs") -> None:
        self.name = name
        self._client = HttpClient(access)

    def send(self, content: bytes) -> Outcome:
        """Send one object in one request."""
        boundary = uuid.uuid4().hex
        head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        headers = {
            "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
            "Accept": "application/dicom+json",
        }
        answer = self._client.post("/studies", head + content + f"\r\n--{boundary}--\r\n".encode(), headers)
        return "retry" if answer is None else _stored(*answer)


class FhirDestination:
    """A FHIR server. A transaction sent several times has the same effect as one."""

    kind: ObjectKind = "fhir"

    def __init__(self, access: Access, name: str = "fhir") -> None:
        self.name = name
        self._client = HttpClient(access)

    def send(self, content: bytes) -> Outcome:
        """Send one transaction."""
        headers = {"Content-Type": "application/fhir+json", "Accept": "application/fhir+json"}
        answer = self._client.post("", content, headers)
        if answer is None:
            return "retry"
        status, _ = answer
        if status in (HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY):
            return "refused"
        return "delivered" if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES else "retry"


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


def _stored(status: int, body: bytes) -> Outcome:
    """The outcome for the one object sent, from a STOW-RS response (PS3.18 10.5.3)."""
    reasons = _failure_reasons(body)
    if status in (HTTPStatus.OK, HTTPStatus.ACCEPTED) and not reasons:
        return "delivered"
    if status not in (HTTPStatus.OK, HTTPStatus.ACCEPTED, HTTPStatus.CONFLICT):
        return "retry"
    # 409 says that nothing was stored; without a reason that can be read it is taken for "there already".
    if all(reason == DUPLICATE_INSTANCE for reason in reasons):
        return "delivered"
    final = all(reason in REFUSED_REASONS or any(reason in span for span in NOT_AS_SENT) for reason in reasons)
    return "refused" if final else "retry"


def _failure_reasons(body: bytes) -> list[int]:
    """The Failure Reasons in a response of DICOM JSON; none in any other body."""
    try:
        failed: list[Any] = json.loads(body)[FAILED_SOP_SEQUENCE]["Value"]
        return [int(item[FAILURE_REASON]["Value"][0]) for item in failed]
    except (ValueError, KeyError, TypeError, IndexError):
        return []
