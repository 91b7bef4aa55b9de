"""A structured report that takes the place of an earlier one names it (PS3.3 C.17.2.1)."""

from __future__ import annotations

from collections.abc import Sequence

from pydicom.dataset import Dataset

from app.reports.result import ReportReference


def replacing(report: Dataset, predecessor: ReportReference | None) -> Dataset:
    """The report, which names its predecessor if it has one, and those before that, the latest first; it is never its
    own."""
    if predecessor is None or predecessor.uid == report.SOPInstanceUID:
        return report
    every = [predecessor, *reversed(predecessor.earlier)]
    named = [each for each in every if each.uid != report.SOPInstanceUID]
    report.PredecessorDocumentsSequence = [
        _study(uid, [each for each in named if each.study_uid == uid])
        for uid in dict.fromkeys(each.study_uid for each in named)
    ]
    return report


def _study(uid: str, reports: Sequence[ReportReference]) -> Dataset:
    """Reports of one study, as another refers to them (PS3.3 table C.17-3)."""
    study = Dataset()
    study.StudyInstanceUID, study.ReferencedSeriesSequence = uid, []
    for series_uid in dict.fromkeys(each.series_uid for each in reports):
        series = Dataset()
        series.SeriesInstanceUID = series_uid
        series.ReferencedSOPSequence = [_instance(each) for each in reports if each.series_uid == series_uid]
        study.ReferencedSeriesSequence.append(series)
    return study


def _instance(report: ReportReference) -> Dataset:
    instance = Dataset()
    instance.ReferencedSOPClassUID, instance.ReferencedSOPInstanceUID = report.sop_class, report.uid
    return instance


def reference_to(report: Dataset) -> ReportReference:
    """How another object refers to a structured report."""
    return ReportReference(report.StudyInstanceUID, report.SeriesInstanceUID, report.SOPInstanceUID, report.SOPClassUID)
