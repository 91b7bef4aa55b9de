"""Webhooks: results as JSON, signed as Standard Webhooks says (standardwebhooks.com), to one address."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Final

from standardwebhooks import Webhook

from app.delivery.destinations.destination import Outcome, Refused
from app.delivery.destinations.http_client import Access, HttpClient
from app.errors import SettingsError
from app.reports.result import ObjectKind

PREFIX: Final = "whsec_"
LEAST_SECRET_BYTES: Final = 24  # as the specification demands
# Answers to which the same message sent again gets the same: what is wrong is the message, or nobody wants it.
FINAL: Final = frozenset(
    {
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.GONE,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
    }
)


class WebhookDestination:
    """A receiver of webhooks. A message has one id however often it is sent, by which the receiver drops doubles."""

    kind: ObjectKind = "json"

    def __init__(self, name: str, access: Access, secret: str) -> None:
        """Raises SettingsError for a secret that is not base64, or shorter than LEAST_SECRET_BYTES."""
        self.name = name
        self._client = HttpClient(access)
        self._signer = _signer(name, secret)

    def send(self, content: bytes) -> Outcome:
        """Send one message; any answer of 200 to 299 takes it. Raises Refused with the status of one in FINAL."""
        message, sent = f"msg_{hashlib.sha256(content).hexdigest()[:32]}", datetime.now(UTC)
        headers = {
            "Content-Type": "application/json",
            "Webhook-Id": message,
            "Webhook-Timestamp": str(int(sent.timestamp())),
            "Webhook-Signature": self._signer.sign(message, sent, content.decode()),
        }
        answer = self._client.post("", content, headers)
        if answer is None:
            return "retry"
        status, _ = answer
        if status in FINAL:
            raise Refused(str(status))
        return "delivered" if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES else "retry"


def _signer(name: str, secret: str) -> Webhook:
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)  # the library passes over what is no base64
    except ValueError:
        key = b""
    if len(key) < LEAST_SECRET_BYTES:
        raise SettingsError(
            found=f"a secret of the destination {name} that is no webhook secret",
            expected=f"whsec_ and base64 of {LEAST_SECRET_BYTES} random bytes or more",
            remedy="Make one: printf 'whsec_%s' \"$(openssl rand -base64 32)\".",
        )
    return Webhook(key)
