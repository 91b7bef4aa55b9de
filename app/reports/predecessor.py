"""A structured report that takes the place of an earlier one names it (PS3.3 C.17.2.1)."""

from __future__ import annotations

from pydicom.dataset import Dataset

from app.reports.result import ReportReference


def replacing(report: Dataset, predecessor: ReportReference | None) -> Dataset:
    """The report, which names its predecessor if it has one; it is never its own."""
    if predecessor is None or predecessor.uid == report.SOPInstanceUID:
        return report
    instance, series, study = Dataset(), Dataset(), Dataset()
    instance.ReferencedSOPClassUID, instance.ReferencedSOPInstanceUID = predecessor.sop_class, predecessor.uid
    series.SeriesInstanceUID, series.ReferencedSOPSequence = predecessor.series_uid, [instance]
    study.StudyInstanceUID, study.ReferencedSeriesSequence = predecessor.study_uid, [series]
    report.PredecessorDocumentsSequence = [study]
    return report


def reference_to(report: Dataset) -> ReportReference:
    """How another object refers to a structured report."""
    return ReportReference(report.StudyInstanceUID, report.SeriesInstanceUID, report.SOPInstanceUID, report.SOPClassUID)
