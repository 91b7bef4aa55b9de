"""The slices to which findings belong, as key images: Key Object Selection Document (PS3.3 A.35.4, PS3.16 TID 2010)."""

from __future__ import annotations

from typing import Final

from highdicom.ko import KeyObjectSelection, KeyObjectSelectionDocument
from pydicom.dataset import Dataset

from app.reports import codes
from app.reports.authorship import device, finish, identity, observer
from app.reports.headers import nameless
from app.reports.report import DISCLAIMER, MANUFACTURER, Report, ReportedSlice

REPLACED: Final = "They go with a report that replaces an earlier one on the same series."


def write_key_images(report: Report) -> Dataset | None:
    """The selection of the slices of the findings shown, the first finding's first; None when nothing was found, or
    the slices may not be judged."""
    shown = _of_findings(report)
    if not shown or report.prediction.decision == "rejected":
        return None
    content = KeyObjectSelection(
        document_title=codes.OF_INTEREST,
        referenced_objects=[_image(on) for on in shown],
        observer_device_context=observer(report),
        description=_description(report, len(shown)),
    )
    for item, on in zip(content.get_references(), shown, strict=True):
        if on.source.frame is not None:
            item.ReferencedSOPSequence[0].ReferencedFrameNumber = on.source.frame
    instance = KeyObjectSelectionDocument(
        # What is selected and no more (PS3.3 C.17.6.2.1), a multi-frame image once.
        evidence=list({on.source.sop_instance_uid: _image(on) for on in shown}.values()),
        content=content,
        **identity(report, "key_images", shown[0]) | {"instance_number": 1},
        **device(report),
    )
    return finish(instance, report, shown[0], image=False)


def _of_findings(report: Report) -> list[ReportedSlice]:
    slices = {on.index: on for on in report.slices()}
    return [slices[index] for index in dict.fromkeys(map(report.index_of, report.findings))]


def _image(shown: ReportedSlice) -> Dataset:
    """What highdicom takes for an image: it has rows and columns."""
    image = nameless(shown.source)
    image.Rows, image.Columns = shown.source.rows, shown.source.columns
    return image


def _description(report: Report, images: int) -> str:
    findings = len(report.findings)
    said = [f"{MANUFACTURER}, research software: {_number(findings, 'finding')} shown on {_number(images, 'image')}."]
    if report.replaced is not None:
        said.append(REPLACED)
    return " ".join((*said, DISCLAIMER))


def _number(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
