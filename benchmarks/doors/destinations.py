"""Where results arrive, and what has: an archive that takes DICOM, and a receiver of webhooks."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from pydicom.dataset import Dataset

from benchmarks.doors.moods import Answer, Request
from benchmarks.doors.series import SLICES, Series
from benchmarks.serving.receiver import instances_in

NOT_ATTEMPTED: Final = "(not attempted)"
UNPROCESSED: Final = "Not processed, because"


@dataclass(frozen=True, slots=True)
class Result:
    """One result as a destination has it.

    `about` are the instances that it names, or how many slices it was made of where it names none; `reason` is why
    there was no judgement. It takes the place of those in `replaces`.
    """

    uid: str
    study: str
    about: frozenset[str] | int
    reason: str | None
    replaces: frozenset[str]

    def is_whole(self, series: Series) -> bool:
        """Whether it is on all slices of this series."""
        return self.about == SLICES if isinstance(self.about, int) else self.about >= series.instance_uids


class Destination:
    """Keeps the results that arrive, each once however often it is sent."""

    def __init__(self) -> None:
        self._results: dict[str, Result] = {}
        self._objects: Counter[str] = Counter()
        self._lock = threading.Lock()

    def take(self, request: Request) -> Answer:
        """Keep what a request brings."""
        with self._lock:
            for uid, result in self.read(request):
                self._objects[uid] += 1
                if result is not None:
                    self._results[result.uid] = result
        return Answer(200)

    def read(self, request: Request) -> Iterator[tuple[str, Result | None]]:
        """The names of the objects in a request, with the result that an object is, if it is one."""
        raise NotImplementedError

    def results(self, series: Series) -> list[Result]:
        """All that came about a series."""
        with self._lock:
            return [each for each in self._results.values() if each.study == series.study_uid]

    @property
    def repeated(self) -> int:
        """Objects that came again under the name they had."""
        return sum(count - 1 for count in self._objects.values())


def current(results: Iterable[Result]) -> list[Result]:
    """Those in whose place no other has come."""
    every = list(results)
    replaced = frozenset[str]().union(*(each.replaces for each in every))
    return [each for each in every if each.uid not in replaced]


class Archive(Destination):
    """What takes DICOM objects by STOW-RS. Its results are structured reports."""

    def read(self, request: Request) -> Iterator[tuple[str, Result | None]]:
        """The objects by their SOP Instance UIDs."""
        for each in instances_in(request.headers["Content-Type"], request.body):
            yield str(each.SOPInstanceUID), _report(each) if each.Modality == "SR" else None


def _report(report: Dataset) -> Result:
    named = frozenset(_referenced(report.CurrentRequestedProcedureEvidenceSequence))
    replaced = frozenset(_referenced(report.get("PredecessorDocumentsSequence", ())))
    return Result(str(report.SOPInstanceUID), str(report.StudyInstanceUID), named, _reason(report), replaced)


def _referenced(studies: Iterable[Dataset]) -> Iterator[str]:
    """SOP Instance UIDs below a sequence of studies (PS3.3 C.17-3)."""
    for study in studies:
        for series in study.ReferencedSeriesSequence:
            yield from (str(each.ReferencedSOPInstanceUID) for each in series.ReferencedSOPSequence)


def _reason(item: Dataset) -> str | None:
    if UNPROCESSED in item.get("TextValue", ""):
        return str(item.TextValue)
    return next((found for each in item.get("ContentSequence", ()) if (found := _reason(each))), None)


class Hooks(Destination):
    """What takes webhooks. Its results are their messages; one that replaces a report stands for all before it."""

    def __init__(self) -> None:
        super().__init__()
        self._when: dict[str, str] = {}

    def results(self, series: Series) -> list[Result]:
        """All messages on a series, in the order in which they were written."""
        found = sorted(super().results(series), key=lambda each: self._when[each.uid])
        return [
            replace(each, replaces=frozenset(before.uid for before in found[:place])) if each.replaces else each
            for place, each in enumerate(found)
        ]

    def read(self, request: Request) -> Iterator[tuple[str, Result | None]]:
        """The message by its id."""
        event: dict[str, Any] = json.loads(request.body)
        data, name = event["data"], request.headers["Webhook-Id"]
        study, uid = data["study_instance_uid"], data.get("report_uid", name)
        self._when[uid] = event["timestamp"]
        if event["type"] == "series.not_processed":
            yield name, Result(uid, study, SLICES, data["reason"]["code"], frozenset())
            return
        replaced = data.get("replaces_report_uid")
        slices = int(data["result"]["source"]["series"]["slices"])
        yield name, Result(uid, study, slices, None, frozenset({replaced} if replaced else ()))
