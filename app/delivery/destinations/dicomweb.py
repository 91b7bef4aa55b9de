"""A DICOMweb archive as a destination (STOW-RS, PS3.18 10.5)."""

from __future__ import annotations

import json
import uuid
from http import HTTPStatus
from typing import Any, Final

from app.delivery.destinations.destination import Outcome
from app.delivery.destinations.http_client import Access, HttpClient
from app.reports.result import ObjectKind

FAILED_SOP_SEQUENCE: Final = "00081198"
FAILURE_REASON: Final = "00081197"
DUPLICATE_INSTANCE: Final = 0x0111
REFUSED_REASONS: Final = frozenset({0x0122, 0x0124})  # SOP class not supported, not authorised for it (PS3.18 I.2)
NOT_AS_SENT: Final = (range(0xA900, 0xAA00), range(0xC000, 0xD000))  # does not match its SOP class, not understood


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
