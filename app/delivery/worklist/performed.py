"""What this service writes into a workitem that it performs: progress, results, or why it was discontinued (PS3.3
C.30)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from app.delivery.attributes import Attributes, dataset, first_item, value_of, values_of
from app.delivery.database.workitems import CANCELED, COMPLETED, IN_PROGRESS, Workitem
from app.delivery.worklist.procedure_steps import Station, moment

PROGRESS: Final = "ProcedureStepProgressInformationSequence"
PERFORMED: Final = "UnifiedProcedureStepPerformedProcedureSequence"
OUTPUT: Final = "OutputInformationSequence"
OWN_SCHEME: Final = "99LUNGSCOPE"


def coded(value: str, scheme: str, meaning: str) -> Attributes:
    """An item of a code sequence."""
    return dataset(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)


DETECTION: Final = coded("110004", "DCM", "Computer Aided Detection")  # PS3.16 CID 9231
UNSPECIFIED: Final = coded("110513", "DCM", "Discontinued for unspecified reason")  # PS3.16 CID 9300


class UnusableInput(Exception):
    """An Input Information Sequence that does not name the series of one study."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a workitem was discontinued, in words and coded; by default with the code for no reason of the standard's."""

    words: str = ""
    codes: Sequence[Attributes] = (UNSPECIFIED,)


def input_of(attributes: Attributes) -> tuple[str, tuple[str, ...]]:
    """The UIDs of the study that is to be judged and of its series, none for all of them; raises UnusableInput.

    What instances are listed does not matter, as a series is judged as a whole.
    """
    items = values_of(attributes, "InputInformationSequence")
    studies = {value_of(each, "StudyInstanceUID") for each in items}
    series = [value_of(each, "SeriesInstanceUID") for each in items]
    if len(studies) != 1 or "" in studies:
        raise UnusableInput
    return studies.pop(), tuple(dict.fromkeys(series)) if all(series) else ()


def begun(item: Workitem, transaction_uid: str, job: str, station: Station, now: float) -> Workitem:
    """A workitem that this service has claimed."""
    named = values_of(item.attributes, "ScheduledStationNameCodeSequence")
    own = [each for each in named if value_of(each, "CodeValue") == station.code]
    step = dataset(
        PerformedStationNameCodeSequence=own or [coded(station.code, OWN_SCHEME, "Lungscope")],
        PerformedProcedureStepStartDateTime=moment(now),
        PerformedWorkitemCodeSequence=values_of(item.attributes, "ScheduledWorkitemCodeSequence") or [DETECTION],
        OutputInformationSequence=[],
    )
    attributes = {**item.attributes, **dataset(**{PERFORMED: [step]})}
    return replace(item, state=IN_PROGRESS, transaction_uid=transaction_uid, job=job, attributes=attributes)


def with_progress(item: Workitem, percent: int, words: str) -> Workitem:
    """A workitem that says how far it is, in percent and in words."""
    progress = dataset(ProcedureStepProgress=float(percent), ProcedureStepProgressDescription=words)
    return replace(item, attributes={**item.attributes, **dataset(**{PROGRESS: [progress]})})


def completed(item: Workitem, results: Iterable[Attributes], words: str, now: float) -> Workitem:
    """A workitem that is done, with these objects as its results."""
    done = with_progress(item, 100, words)
    return replace(done, state=COMPLETED, attributes=_with_output(done.attributes, results, now))


def discontinued(item: Workitem, reason: Reason, now: float, results: Iterable[Attributes] = ()) -> Workitem:
    """A workitem that is not done, or not to its end; of one that was begun with these objects as results."""
    said = dataset(ReasonForCancellation=reason.words) if reason.words else {}
    ended = dataset(
        ProcedureStepCancellationDateTime=moment(now),
        ProcedureStepDiscontinuationReasonCodeSequence=list(reason.codes),
    )
    progress = {**first_item(item.attributes, PROGRESS), **said, **ended}
    attributes = {**item.attributes, **dataset(**{PROGRESS: [progress]})}
    if values_of(attributes, PERFORMED):
        attributes = _with_output(attributes, results, now)
    return replace(item, state=CANCELED, attributes=attributes)


def with_addresses(attributes: Attributes, root: str) -> Attributes:
    """The attributes of a workitem that this service performed, with where its results are; `root` is the address of
    its DICOMweb, as the client sees it."""
    steps = [
        {**step, **dataset(**{OUTPUT: [_with_address(each, root) for each in values_of(step, OUTPUT)]})}
        for step in values_of(attributes, PERFORMED)
    ]
    return {**attributes, **dataset(**{PERFORMED: steps})}


def _with_address(output: Attributes, root: str) -> Attributes:
    study, series = value_of(output, "StudyInstanceUID"), value_of(output, "SeriesInstanceUID")
    there = dataset(RetrieveURL=f"{root}/studies/{study}/series/{series}")
    return {**output, **dataset(WADORSRetrievalSequence=[there])}


def _with_output(attributes: Attributes, results: Iterable[Attributes], now: float) -> Attributes:
    step = first_item(attributes, PERFORMED)
    ended = dataset(PerformedProcedureStepEndDateTime=moment(now), **{OUTPUT: _references(results)})
    return {**attributes, **dataset(**{PERFORMED: [{**step, **ended}]})}


def _references(results: Iterable[Attributes]) -> list[Attributes]:
    """An item for each series of these objects (PS3.3 table 10-3b)."""
    by_series: dict[tuple[str, str], list[Any]] = {}
    for each in results:
        names = value_of(each, "StudyInstanceUID"), value_of(each, "SeriesInstanceUID")
        instance = dataset(
            ReferencedSOPClassUID=value_of(each, "SOPClassUID"),
            ReferencedSOPInstanceUID=value_of(each, "SOPInstanceUID"),
        )
        by_series.setdefault(names, []).append(instance)
    return [
        dataset(
            TypeOfInstances="DICOM",
            StudyInstanceUID=study,
            SeriesInstanceUID=series,
            ReferencedSOPSequence=instances,
        )
        for (study, series), instances in by_series.items()
    ]
