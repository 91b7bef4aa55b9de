"""All DICOM objects that one prediction becomes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from io import BytesIO
from typing import Final

from pydicom.dataset import Dataset

from app.reports.capture import Draw, write_captures
from app.reports.evidence_map import write_evidence_map
from app.reports.report import Kind, Report
from app.reports.segmentation import write_segmentation
from app.reports.structured import write_structured_report

Writer = Callable[[Report, Draw], Iterable[Dataset | None]]
Failed = Callable[[Kind, Exception], None]
WRITERS: Final[dict[Kind, Writer]] = {
    "sr": lambda report, _: [write_structured_report(report)],
    "capture": write_captures,
    "map": lambda report, _: [write_evidence_map(report)],
    "segmentation": lambda report, _: [write_segmentation(report)],
}


def quiet_highdicom() -> None:
    """Keep highdicom from logging the UIDs and names that it handles: call once before the first report."""
    logging.getLogger("highdicom").setLevel(logging.CRITICAL + 1)


def write_results(report: Report, draw: Draw) -> tuple[Dataset, ...]:
    """The structured report, a secondary capture for every slice shown, and, where there is something to put into
    them, the parametric map of the evidence and the segmentation of the outlines; in this order.

    `draw` gives the picture of one slice. The same report gives the same bytes. Raises NoDicomSource when the
    source has no UIDs or headers to refer to.
    """
    _prepare(report)
    return tuple(instance for kind in WRITERS for instance in _written(kind, report, draw))


def write_files(report: Report, draw: Draw, failed: Failed) -> list[tuple[Dataset, bytes]]:
    """The objects of `write_results`, each with its file.

    What the writer of one kind raises goes to `failed` and costs only that kind; NoDicomSource is raised.
    """
    _prepare(report)
    files: list[tuple[Dataset, bytes]] = []
    for kind in WRITERS:
        try:
            files += [(instance, to_bytes(instance)) for instance in _written(kind, report, draw)]
        except MemoryError:
            raise
        # Whatever a header did to one writer, the others have their own attributes.
        except Exception as error:
            failed(kind, error)
    return files


def to_bytes(instance: Dataset) -> bytes:
    """A DICOM file (PS3.10)."""
    stream = BytesIO()
    instance.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def _prepare(report: Report) -> None:
    report.require_uids()
    report.slices()  # raises where a header is missing
    quiet_highdicom()


def _written(kind: Kind, report: Report, draw: Draw) -> list[Dataset]:
    return [instance for instance in WRITERS[kind](report, draw) if instance is not None]
