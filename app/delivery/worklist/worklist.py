"""The worklist, as a workflow manager and other performers see it (PS3.18 11)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from app.delivery.attributes import Attributes
from app.delivery.database.workitems import CANCELED, COMPLETED, GONE, SCHEDULED, StepState, Workitem
from app.delivery.inbox import Inbox
from app.delivery.spool.kept import HOUR_S
from app.delivery.worklist.performed import Reason, discontinued
from app.delivery.worklist.procedure_steps import Station, created, moved, updated
from app.errors import SpoolFull
from app.errors.workitems import UnknownWorkitem, WorkitemConflict, WorkitemExists, WorkitemGone

# Workitems: a search reads them all. Of those that have ended it is what a year of a busy hospital has.
MAX_OPEN: Final = 10_000
MAX_ENDED: Final = 100_000
COMPLETED_ALREADY: Final = "The UPS is already COMPLETED."
GOES_ON: Final = "Performer chooses not to cancel."
UNREACHABLE: Final = "The performer cannot be contacted."


@dataclass(frozen=True, slots=True)
class Worklist:
    """The workitems of this service, which is `station`. Each is kept for `keep_hours` after its last change."""

    inbox: Inbox
    station: Station
    keep_hours: float

    def create(self, uid: str, sent: Attributes) -> tuple[Workitem, bool]:
        """Schedule a workitem; raises InvalidWorkitem, InputTooLarge, WorkitemExists and SpoolFull. Like all that
        change one it returns the workitem, and whether it did."""
        store, now = self.inbox.store, time.time()
        item = created(uid, sent, self.station, now)
        self.inbox.require_room()
        _require_fewer(store.workitems_open(), MAX_OPEN, "have not ended")
        _require_fewer(store.workitems_ended(), MAX_ENDED, "have ended and are kept")
        if not store.add_workitem(item, expires_at=self._expiry()):
            raise WorkitemExists(
                found="a workitem with that UID",
                expected="a UID that was not used before",
                remedy="GET it, or make another UID.",
            )
        return item, True

    def workitem(self, uid: str) -> Workitem:
        """The workitem with this UID; raises UnknownWorkitem and WorkitemGone."""
        item = self.inbox.store.workitem(uid)
        if item is None:
            raise UnknownWorkitem(
                found="no workitem with that UID",
                expected="one that was created here",
                remedy="GET /dicom-web/workitems lists them.",
            )
        if item.state == GONE:
            raise WorkitemGone(
                found="a workitem that was deleted when it had been kept for its time",
                expected="one that is still kept",
                remedy="Create another.",
            )
        return item

    def workitems(self, state: str) -> Iterator[Workitem]:
        """All workitems, or those in a state where one is given, in the order in which they came."""
        return self.inbox.store.all_workitems(state)

    def update(self, uid: str, changes: Attributes, transaction_uid: str) -> tuple[Workitem, bool]:
        """Change attributes; raises the errors of `workitem` and `procedure_steps.updated`, and SpoolFull."""
        self.inbox.require_room()
        return self._change(uid, lambda item: updated(item, changes, transaction_uid, self.station, time.time()))

    def change_state(self, uid: str, wanted: StepState, transaction_uid: str) -> tuple[Workitem, bool]:
        """Claim, complete or cancel; what is so already stays. Raises the errors of `workitem` and
        `procedure_steps.moved`."""
        return self._change(uid, lambda item: moved(item, wanted, transaction_uid))

    def request_cancellation(self, uid: str, reason: Reason) -> tuple[Workitem, bool]:
        """Cancel what nobody has claimed, or what this service has claimed and does not judge yet; what is cancelled
        stays. Raises the errors of `workitem`, and WorkitemConflict."""
        return self._change(uid, lambda item: self._cancelled(item, reason))

    def _cancelled(self, item: Workitem, reason: Reason) -> Workitem:
        if item.state == CANCELED:
            return item
        if item.state == COMPLETED:
            raise _not_cancelled("a workitem that is COMPLETED", COMPLETED_ALREADY)
        if item.state != SCHEDULED and not item.job:
            raise _not_cancelled("a workitem that another has claimed, who cannot be told", UNREACHABLE)
        if item.job and not self._withdraw(item.job):
            raise _not_cancelled("a workitem whose series are being judged, or others sent too", GOES_ON)
        return discontinued(item, reason, time.time())

    def _withdraw(self, job: str) -> bool:
        status = self.inbox.job(job)
        return status is not None and self.inbox.cancel(status.submission)

    def _change(self, uid: str, change: Callable[[Workitem], Workitem]) -> tuple[Workitem, bool]:
        """What `change` makes of a workitem, from the start again where another was faster."""
        while True:
            item = self.workitem(uid)
            changed = change(item)
            if changed is item:
                return item, False
            if self.inbox.store.replace_workitem(changed, expires_at=self._expiry()):
                return changed, True

    def _expiry(self) -> float:
        return time.time() + self.keep_hours * HOUR_S


def _require_fewer(count: int, most: int, which: str) -> None:
    if count >= most:
        raise SpoolFull(
            found=f"{most} workitems that {which}",
            expected="fewer",
            remedy="Try again later; the operator can look after the archive, or lower LUNGSCOPE_RESULT_HOURS.",
        )


def _not_cancelled(found: str, warning: str) -> WorkitemConflict:
    return WorkitemConflict(
        found=found,
        expected=f"one that is {SCHEDULED}, or at which this service works and that it does not judge yet",
        remedy="Wait for its end.",
        warning=warning,
    )
