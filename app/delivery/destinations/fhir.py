"""A FHIR server as a destination (R4 transaction)."""

from __future__ import annotations

from http import HTTPStatus

from app.delivery.destinations.destination import Outcome
from app.delivery.destinations.http_client import Access, HttpClient
from app.reports.result import ObjectKind


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
