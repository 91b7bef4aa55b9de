"""The image library of a structured report: the slices it refers to, and where they lie (PS3.16 TID 1600)."""

from __future__ import annotations

from collections.abc import Iterator

from highdicom.sr import CodeContentItem, ContainerContentItem, ContentItem, ContentSequence, ImageContentItem
from highdicom.sr import NumContentItem as Number
from pydicom.sr.coding import Code

from app.reports import codes
from app.reports.report import Report, ReportedSlice
from app.reports.source_images import address

CONTEXT = "HAS ACQ CONTEXT"
POSITION = tuple(Code(f"11090{n}", "DCM", f"Image Position (Patient) {axis}") for n, axis in enumerate("XYZ", start=1))
HORIZONTAL_SPACING = Code("111026", "DCM", "Horizontal Pixel Spacing")
VERTICAL_SPACING = Code("111066", "DCM", "Vertical Pixel Spacing")
SLICE_THICKNESS = Code("112225", "DCM", "Slice Thickness")


def image_library(*reports: Report) -> ContainerContentItem:
    """The slices that each report shows in a group of its own: there modality, spacing and thickness are the same."""
    library = ContainerContentItem(codes.IMAGE_LIBRARY, relationship_type="CONTAINS")
    library.ContentSequence = ContentSequence([_group(report) for report in reports])
    return library


def _group(report: Report) -> ContainerContentItem:
    group = ContainerContentItem(codes.IMAGE_LIBRARY_GROUP, relationship_type="CONTAINS")
    group.ContentSequence = ContentSequence([*_of_all(report), *map(_entry, report.slices())])
    return group


def _of_all(report: Report) -> Iterator[ContentItem]:
    yield CodeContentItem(codes.MODALITY, codes.CT, CONTEXT)
    vertical, horizontal = report.prediction.spacing_mm
    lengths = ((HORIZONTAL_SPACING, horizontal), (VERTICAL_SPACING, vertical), (SLICE_THICKNESS, report.thickness_mm))
    for concept, length_mm in lengths:
        if length_mm is not None:
            yield Number(concept, length_mm, codes.MILLIMETRE, relationship_type=CONTEXT)


def _entry(shown: ReportedSlice) -> ImageContentItem:
    sop_class, instance, frames = address(shown.source)
    entry = ImageContentItem(codes.SOURCE, sop_class, instance, frames, relationship_type="CONTAINS")
    if shown.image.position_mm is not None:
        places = zip(POSITION, shown.image.position_mm, strict=True)
        entry.ContentSequence = ContentSequence(
            [Number(concept, at_mm, codes.MILLIMETRE, relationship_type=CONTEXT) for concept, at_mm in places]
        )
    return entry
