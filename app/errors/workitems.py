"""Errors about workitems of a worklist (PS3.18 11)."""

from __future__ import annotations

from app.errors.base import LungscopeError


class WorkitemError(LungscopeError):
    """What cannot be done with a workitem; `warning` are the words that the standard wants in the header `Warning`."""

    def __init__(self, *, found: str, expected: str, remedy: str, warning: str = "") -> None:
        super().__init__(found=found, expected=expected, remedy=remedy)
        self.warning = warning


class InvalidWorkitem(WorkitemError, code="invalid_workitem"):
    """A data set that is none, or that is not what a workitem needs (PS3.4 CC.2.5)."""


class UnknownWorkitem(WorkitemError, code="unknown_workitem"):
    """No workitem has that UID."""


class WorkitemGone(WorkitemError, code="workitem_gone"):
    """There was a workitem with that UID, and it has been deleted."""


class WorkitemExists(WorkitemError, code="workitem_exists"):
    """There is a workitem with that UID, or was."""


class WorkitemEnded(WorkitemError, code="workitem_ended"):
    """A workitem that is COMPLETED or CANCELED changes no more."""


class WorkitemConflict(WorkitemError, code="workitem_conflict"):
    """What cannot follow on the present state of a workitem (PS3.4 CC.1.1), or before what it needs is there."""


class TransactionUidRefused(WorkitemError, code="transaction_uid_refused"):
    """What only the owner of a workitem may do, without the UID by which it was claimed or with another."""


class NoSubscriptions(WorkitemError, code="no_subscriptions"):
    """Nobody is notified of workitems."""
