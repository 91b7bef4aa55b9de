"""The rules of the Unified Procedure Step (PS3.4 CC): what a workitem needs, who may change it, and which state follows
on which."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from app.delivery.attributes import Attributes, dataset, first_item, tag_of, value_of, values_of
from app.delivery.database.workitems import (
    CANCELED,
    COMPLETED,
    ENDED,
    IN_PROGRESS,
    OF_OTHERS,
    SCHEDULED,
    StepState,
    Workitem,
)
from app.errors import InputTooLarge
from app.errors.workitems import InvalidWorkitem, TransactionUidRefused, WorkitemConflict, WorkitemEnded

SOP_CLASS: Final = "1.2.840.10008.5.1.4.34.6.1"  # Unified Procedure Step - Push: that of every workitem
PRIORITIES: Final = ("HIGH", "MEDIUM", "LOW")
READY: Final = "READY"
# What N-CREATE needs with a value, and what may be empty (PS3.4 table CC.2.5-3, types 1 and 2).
VALUED: Final = (
    *("ScheduledProcedureStepPriority", "ProcedureStepLabel", "ScheduledProcedureStepStartDateTime"),
    *("InputReadinessState", "ProcedureStepState"),
)
PRESENT: Final = (
    *("WorklistLabel", "ScheduledProcessingParametersSequence", "ScheduledStationNameCodeSequence"),
    *("ScheduledStationClassCodeSequence", "ScheduledStationGeographicLocationCodeSequence"),
    *("ScheduledWorkitemCodeSequence", "CommentsOnTheScheduledProcedureStep", "InputInformationSequence"),
    *("PatientName", "OtherPatientIDsSequence", "PatientBirthDate", "PatientSex"),
    *("AdmissionID", "IssuerOfAdmissionIDSequence", "AdmittingDiagnosesDescription", "AdmittingDiagnosesCodeSequence"),
    *("ReferencedRequestSequence", "ProcedureStepProgressInformationSequence"),
    "UnifiedProcedureStepPerformedProcedureSequence",
)
EMPTY: Final = (
    *("TransactionUID", "ProcedureStepProgressInformationSequence"),
    "UnifiedProcedureStepPerformedProcedureSequence",
)
# What N-SET may not change, and what it may not leave empty (the same table).
FIXED: Final = (
    *("SOPClassUID", "SOPInstanceUID", "ProcedureStepState", "PatientName", "PatientID", "IssuerOfPatientID"),
    *("PatientBirthDate", "PatientSex", "AdmissionID", "IssuerOfAdmissionIDSequence", "AdmittingDiagnosesDescription"),
    *("AdmittingDiagnosesCodeSequence", "ReferencedRequestSequence", "ReplacedProcedureStepSequence"),
)
ENUMERATED: Final = {
    "ScheduledProcedureStepPriority": PRIORITIES,
    "InputReadinessState": (READY, "UNAVAILABLE", "INCOMPLETE"),
}
# What must be there before a final state (the same table, codes P and X).
PERFORMED: Final = (
    *("PerformedStationNameCodeSequence", "PerformedProcedureStepStartDateTime", "PerformedWorkitemCodeSequence"),
    *("PerformedProcedureStepEndDateTime", "OutputInformationSequence"),
)
DISCONTINUED: Final = ("ProcedureStepCancellationDateTime", "ProcedureStepDiscontinuationReasonCodeSequence")
# Of the general purpose workitems (PS3.16 CID 9231, scheme DCM) those that software which reads images does not do.
OTHER_WORK: Final = frozenset({"110002", "110005", "110006", "110007", "110008", "110009"})
# Characters of its JSON: an input that lists 4000 slices has as many. However often it is updated, it grows no further.
MOST_CHARACTERS: Final = 1 << 20
NOT_SHOWN: Final = ("SOPClassUID", "SOPInstanceUID", "ProcedureStepState", "TransactionUID")
INCONSISTENT: Final = "The submitted request is inconsistent with the current state of the Workitem."
INCONSISTENT_STATE: Final = "The submitted request is inconsistent with the state of the UPS Instance."
NOT_CLAIMED: Final = "The target URI did not reference a claimed Workitem."
MISSING, INCORRECT = "The Transaction UID is missing.", "The Transaction UID is incorrect."


@dataclass(frozen=True, slots=True)
class Station:
    """This service as a worklist names it: the Code Value of a Scheduled Station Name Code."""

    code: str

    def turn_of(self, attributes: Attributes) -> int:
        """When this service begins a workitem: that of its priority where its input is ready and nobody else is meant,
        by the station or the kind of work; else OF_OTHERS."""
        stations = values_of(attributes, "ScheduledStationNameCodeSequence")
        codes = values_of(attributes, "ScheduledWorkitemCodeSequence")
        mine = not stations or any(value_of(each, "CodeValue") == self.code for each in stations)
        readable = not codes or not all(map(_is_other_work, codes))
        if mine and readable and value_of(attributes, "InputReadinessState") == READY:
            return PRIORITIES.index(value_of(attributes, "ScheduledProcedureStepPriority"))
        return OF_OTHERS


def moment(now: float) -> str:
    """A `time.time()` as a DT in UTC."""
    return datetime.fromtimestamp(now, UTC).strftime("%Y%m%d%H%M%S.%f+0000")


def shown(item: Workitem) -> Attributes:
    """All attributes of a workitem but the Transaction UID, which nobody is told (PS3.4 CC.2.7.3)."""
    own = dataset(SOPClassUID=SOP_CLASS, SOPInstanceUID=item.uid, ProcedureStepState=item.state)
    return dict(sorted({**item.attributes, **own}.items()))


def created(uid: str, sent: Attributes, station: Station, now: float) -> Workitem:
    """The workitem that was sent to be scheduled; raises InvalidWorkitem (PS3.4 CC.2.5.3) and InputTooLarge."""
    _require_values(sent, VALUED)
    _require(not (missing := [name for name in PRESENT if tag_of(name) not in sent]), "without", missing)
    _require(not (full := [name for name in EMPTY if values_of(sent, name)]), "with a value for", full)
    _require(value_of(sent, "ProcedureStepState") == SCHEDULED, "in another state than SCHEDULED by", VALUED[-1:])
    _require_enumerated(sent)
    for name, own in (("SOPClassUID", SOP_CLASS), ("SOPInstanceUID", uid)):
        _require(value_of(sent, name) in ("", own), "with another value of", [name])
    attributes = _kept(sent)
    if not value_of(attributes, "WorklistLabel"):
        attributes |= dataset(WorklistLabel=station.code)
    attributes |= dataset(ScheduledProcedureStepModificationDateTime=moment(now))
    _require_small(attributes)
    return Workitem(uid, SCHEDULED, station.turn_of(attributes), attributes, created_at=now)


def updated(item: Workitem, changes: Attributes, transaction_uid: str, station: Station, now: float) -> Workitem:
    """A workitem with other values (PS3.4 CC.2.6.3): anybody's before it is claimed, then its owner's.

    Raises InvalidWorkitem, InputTooLarge, WorkitemEnded, WorkitemConflict and TransactionUidRefused.
    """
    if item.state in ENDED:
        raise WorkitemEnded(
            found=f"a workitem that is {item.state}",
            expected="one that has not ended",
            remedy="Create another that replaces it.",
            warning=INCONSISTENT,
        )
    if item.state == SCHEDULED and transaction_uid:
        raise WorkitemConflict(
            found="a Transaction UID for a workitem that nobody has claimed",
            expected="none",
            remedy="Claim it first, or change it without.",
            warning=NOT_CLAIMED,
        )
    if item.state == IN_PROGRESS:
        _require_owner(item, transaction_uid)
    _require(not (fixed := [name for name in FIXED if tag_of(name) in changes]), "with a new value for", fixed)
    _require_values(changes, [name for name in VALUED if tag_of(name) in changes])
    _require_enumerated(changes)
    attributes = {**item.attributes, **_kept(changes)}
    attributes |= dataset(ScheduledProcedureStepModificationDateTime=moment(now))
    _require_small(attributes)
    turn = station.turn_of(attributes) if item.state == SCHEDULED else item.turn
    return replace(item, turn=turn, attributes=attributes)


def moved(item: Workitem, wanted: StepState, transaction_uid: str) -> Workitem:
    """A workitem in the state that somebody wants (PS3.4 table CC.1.1-2); as it is where its owner wants the final
    state that it has.

    Raises TransactionUidRefused, and WorkitemConflict also for a final state whose attributes are not there.
    """
    _require_uid(transaction_uid)
    if item.state == SCHEDULED:
        _require_possible(wanted == IN_PROGRESS, item, wanted)
        return replace(item, state=IN_PROGRESS, transaction_uid=transaction_uid)
    _require_owner(item, transaction_uid)
    if item.state == wanted and wanted != IN_PROGRESS:
        return item
    _require_possible(item.state == IN_PROGRESS and wanted in ENDED, item, wanted)
    if missing := _missing_at_end(item.attributes, wanted):
        raise WorkitemConflict(
            found=f"a workitem to be {wanted} without {', '.join(missing)}",
            expected="what PS3.4 CC.2.5.1.1 wants of a final state",
            remedy="Update it first.",
            warning=INCONSISTENT_STATE,
        )
    return replace(item, state=wanted)


def _missing_at_end(attributes: Attributes, wanted: StepState) -> list[str]:
    progress = first_item(attributes, "ProcedureStepProgressInformationSequence")
    if wanted == CANCELED:
        return [name for name in DISCONTINUED if not values_of(progress, name)]
    steps = values_of(attributes, "UnifiedProcedureStepPerformedProcedureSequence") or [{}]
    return sorted({name for step in steps for name in PERFORMED if not values_of(step, name)})


def _require_uid(transaction_uid: str) -> None:
    if not transaction_uid:
        raise TransactionUidRefused(
            found="no Transaction UID",
            expected="that by which the workitem was, or is, claimed",
            remedy="Send it.",
            warning=MISSING,
        )


def _require_owner(item: Workitem, transaction_uid: str) -> None:
    _require_uid(transaction_uid)
    if transaction_uid != item.transaction_uid:
        raise TransactionUidRefused(
            found="another Transaction UID than the owner's",
            expected="that by which the workitem was claimed",
            remedy="Leave it to its owner.",
            warning=INCORRECT,
        )


def _require_possible(possible: bool, item: Workitem, wanted: StepState) -> None:
    if not possible:
        raise WorkitemConflict(
            found=f"{wanted} for a workitem that is {item.state}",
            expected=f"{IN_PROGRESS} after {SCHEDULED}, then {COMPLETED} or {CANCELED}",
            remedy="GET the workitem to see where it stands.",
            warning=INCONSISTENT_STATE,
        )


def _require_values(sent: Attributes, names: Iterable[str]) -> None:
    _require(not (missing := [name for name in names if not value_of(sent, name)]), "without a value for", missing)


def _require_enumerated(sent: Attributes) -> None:
    odd = [name for name, allowed in ENUMERATED.items() if tag_of(name) in sent and value_of(sent, name) not in allowed]
    _require(not odd, "with an odd value of", odd)


def _require(right: bool, found: str, names: Iterable[str]) -> None:
    if not right:
        raise InvalidWorkitem(
            found=f"a workitem {found} {', '.join(names)}",
            expected="what PS3.4 table CC.2.5-3 says",
            remedy="Correct the data set; attributes of type 2 may be empty.",
        )


def _require_small(attributes: Attributes) -> None:
    if (size := len(json.dumps(attributes, ensure_ascii=False))) > MOST_CHARACTERS:
        raise InputTooLarge(
            found=f"a workitem of {size} characters",
            expected=f"at most {MOST_CHARACTERS}",
            remedy="Name study and series in its input: instances need not be listed.",
        )


def _kept(sent: Attributes) -> Attributes:
    left_out = {tag_of(name) for name in NOT_SHOWN}
    return {tag: element for tag, element in sent.items() if tag not in left_out}


def _is_other_work(code: Attributes) -> bool:
    return value_of(code, "CodingSchemeDesignator") == "DCM" and value_of(code, "CodeValue") in OTHER_WORK
