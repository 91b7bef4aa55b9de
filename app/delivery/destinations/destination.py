"""What a destination of results is, and how it ends what is sent to it."""

from __future__ import annotations

from typing import Literal, Protocol

from app.reports.result import ObjectKind

Outcome = Literal["delivered", "retry", "refused"]


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
