"""Finished results, as they are kept, found and delivered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

ObjectKind = Literal["dicom", "fhir", "json", "hl7", "answer"]  # the last is for clients that ask for their job
REPORT_SERIES: Final = "Lungscope report (research use only)"  # Series Description of structured reports
Part = Literal["report", "key_images", "pictures", "map", "outlines"]


@dataclass(frozen=True, slots=True)
class ResultObject:
    """One finished result: a DICOM file, a FHIR bundle, a message, or the answers to a job.

    `attributes` is the data set without its pixels as DICOM JSON (PS3.18 F), `{}` for what is no DICOM; `uid` is the
    same whenever the same series is judged again.

    `part` says which DICOM object it is; `to` names the destinations that it is for, None for all that take its kind.
    """

    uid: str
    kind: ObjectKind
    study_uid: str
    series_uid: str
    attributes: str
    content: bytes
    part: Part | None = None
    to: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class ReportReference:
    """The UIDs by which another object refers to a structured report (PS3.3 C.17.2.1).

    `earlier` are the other reports on the same series, the latest last: of those one may be all that a destination has.
    """

    study_uid: str
    series_uid: str
    uid: str
    sop_class: str
    earlier: tuple[ReportReference, ...] = ()

    def beside(self, *others: ReportReference) -> ReportReference:
        """The same, which knows of these too, and of those that they know."""
        every = [each for other in (self, *others) for each in (*other.earlier, replace(other, earlier=()))]
        known = {each.uid: each for each in every if each.uid != self.uid}
        return replace(self, earlier=tuple(known.values()))


@dataclass(frozen=True, slots=True)
class SeriesResult:
    """The result objects of one series, the structured report among them, and the kinds that could not be written."""

    objects: Sequence[ResultObject]
    report: ReportReference | None = None
    unwritten: tuple[str, ...] = ()
