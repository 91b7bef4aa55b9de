"""All DICOM objects that one prediction becomes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from typing import Final

from pydicom.dataset import Dataset

from app.reports.capture import Draw, capture_writers
from app.reports.evidence_map import write_evidence_map
from app.reports.key_images import write_key_images
from app.reports.predecessor import replacing
from app.reports.report import Kind, Report
from app.reports.segmentation import write_segmentation
from app.reports.structured import write_structured_report

Write = Callable[[], Dataset | None]
Failed = Callable[[Kind, Exception], None]
# What writes each object of a kind.
WRITERS: Final[dict[Kind, Callable[[Report, Draw], Iterable[Write]]]] = {
    "sr": lambda report, _: [partial(_structured_report, report)],
    "key_images": lambda report, _: [partial(write_key_images, report)],
    "capture": capture_writers,
    "map": lambda report, _: [partial(write_evidence_map, report)],
    "segmentation": lambda report, _: [partial(write_segmentation, report)],
}


def quiet_highdicom() -> None:
    """Keep highdicom from logging the UIDs and names that it handles: call once before the first report."""
    logging.getLogger("highdicom").setLevel(logging.CRITICAL + 1)


def write_results(report: Report, draw: Draw) -> tuple[Dataset, ...]:
    """The structured report, the selection of the key images, a secondary capture for every slice shown, the parametric
    map of the evidence and the segmentation of the outlines; in this order, without those that would be empty.

    `draw` gives the picture of one slice. The same report gives the same bytes. Raises NoDicomSource when the
    source has no UIDs or headers to refer to.
    """
    _prepare(report)
    written = (write() for writers in WRITERS.values() for write in writers(report, draw))
    return tuple(instance for instance in written if instance is not None)


def write_files(
    report: Report, draw: Draw, failed: Failed, kinds: Collection[Kind] | None = None
) -> list[tuple[Dataset, bytes]]:
    """The objects of `write_results` of these kinds, or of all, each with its file.

    What is raised while one of them is written goes to `failed` and costs only that one; NoDicomSource is raised.
    """
    _prepare(report)
    files: list[tuple[Dataset, bytes]] = []
    for kind, writers in WRITERS.items():
        if kinds is not None and kind not in kinds:
            continue
        with _only_noted(kind, failed):
            for write in writers(report, draw):
                with _only_noted(kind, failed):
                    instance = write()
                    if instance is not None:
                        files.append((instance, to_bytes(instance)))
    return files


@contextmanager
def _only_noted(kind: Kind, failed: Failed) -> Iterator[None]:
    try:
        yield
    except MemoryError:
        raise
    # Whatever a header did to one object, the others have their own attributes.
    except Exception as error:
        failed(kind, error)


def to_bytes(instance: Dataset) -> bytes:
    """A DICOM file (PS3.10)."""
    stream = BytesIO()
    instance.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def _prepare(report: Report) -> None:
    report.require_uids()
    report.slices()  # raises where a header is missing
    quiet_highdicom()


def _structured_report(report: Report) -> Dataset:
    return replacing(write_structured_report(report), report.replaced)
