"""What the associations of the DIMSE door have in common: the spool, the counts, the audit trail, and the bounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from app.audit.event import Event
from app.audit.trail import AuditTrail
from app.delivery.inbox import Inbox
from app.telemetry import DimseMetrics

MAX_PDU_BYTES: Final = 128 << 10  # what callers are told, and what is read of any PDU
MAX_COMMAND_BYTES: Final = 16 << 10  # a command set is UIDs, numbers and titles (PS3.7 9.3)
MAX_UNSERVED: Final = 4  # messages; more than one at a time has not been negotiated (PS3.7 D.3.3.3)


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bounds of the door: associations at once; seconds for the request of one, and of silence in one.

    An instance may have `instance_bytes`. It is given up once it comes slower than `least_rate` bytes a second, with
    `patience_s` to begin with; a PDU has that long too.
    """

    associations: int
    request_s: float
    idle_s: float
    patience_s: float
    least_rate: float
    instance_bytes: int


@dataclass(frozen=True, slots=True)
class Desk:
    """Where instances are taken in."""

    inbox: Inbox
    metrics: DimseMetrics
    bounds: Bounds
    trail: AuditTrail | None = None

    def require(self) -> None:
        """Raise Unavailable where nothing can be taken in: no room, or no way to put it on record."""
        if self.trail is not None:
            self.trail.require()
        self.inbox.watch.require()
        self.inbox.require_room()

    def put_on_record(
        self, caller: str, address: str, subject: Mapping[str, Sequence[str]], counts: Mapping[str, int]
    ) -> None:
        """Note one request in the audit trail; raises AuditFull, AuditUnavailable."""
        if self.trail is not None:
            told = self.trail.subject(**subject)
            self.trail.record(Event("store", caller, address=address, subject=told, details=counts))

    def refused(self, caller: str, address: str, why: str) -> None:
        """Count an association that was refused; the trail has a line a second for all of a kind."""
        if self.trail is not None:
            self.trail.refused(caller, "associate", why, address)
