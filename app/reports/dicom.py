"""All DICOM objects that one prediction becomes."""

from __future__ import annotations

import logging
from io import BytesIO

from pydicom.dataset import Dataset

from app.reports.capture import Draw, write_captures
from app.reports.evidence_map import write_evidence_map
from app.reports.report import Report
from app.reports.segmentation import write_segmentation
from app.reports.structured import write_structured_report


def quiet_highdicom() -> None:
    """Keep highdicom from logging the UIDs and names that it handles: call once before the first report."""
    logging.getLogger("highdicom").setLevel(logging.CRITICAL + 1)


def write_results(report: Report, draw: Draw) -> tuple[Dataset, ...]:
    """The structured report, a secondary capture for every slice shown, and, where there is something to put into
    them, the parametric map of the evidence and the segmentation of the outlines; in this order.

    `draw` gives the picture of one slice. The same report gives the same bytes. Raises NoDicomSource when the
    source has no UIDs or headers to refer to.
    """
    report.require_uids()
    quiet_highdicom()
    maps = (write_evidence_map(report), write_segmentation(report))
    return (write_structured_report(report), *write_captures(report, draw), *(m for m in maps if m is not None))


def to_bytes(instance: Dataset) -> bytes:
    """A DICOM file (PS3.10)."""
    stream = BytesIO()
    instance.save_as(stream, enforce_file_format=True)
    return stream.getvalue()
