"""Writes a judgement in formats other than JSON: DICOM objects, a FHIR bundle, a picture, a case report for people.

Writing takes tenths of a second, and the first DICOM objects of a process half a second more to import their library.
So call these functions in the thread that judges, not in the event loop.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from io import BytesIO
from typing import Final, Literal, TypeAlias

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import (
    Comprehensive3DSRStorage,
    KeyObjectSelectionDocumentStorage,
    ParametricMapStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)

from app.errors import ResultNotWritten
from app.explain.canvas import font_bytes, to_png
from app.explain.overlay import draw
from app.explain.tiles import Locator, locator_of
from app.imaging.ct import CTSlice
from app.imaging.header import read_header
from app.imaging.read import sniff
from app.imaging.volume import CTVolume
from app.inference.prediction import SliceRef
from app.inference.vocabulary import Language
from app.judgement.case_page import case_page
from app.judgement.judge import Judgement
from app.reports.page import CasePage
from app.reports.page_html import write_html
from app.reports.predecessor import reference_to
from app.reports.report import Kind, Report, ReportedSlice
from app.reports.result import ObjectKind, Part, ReportReference, ResultObject, SeriesResult
from app.reports.transfer_syntax import uncompressed
from app.telemetry import Metrics

Format: TypeAlias = Literal["json", "dicom", "uncompressed_dicom", "fhir", "picture", "html", "pdf"]
# The data sets, without pixels, of the source instances with these SOP Instance UIDs; none for a picture.
Headers: TypeAlias = Callable[[Collection[str | None]], Sequence[Dataset]]
PICTURES: Final[tuple[Kind, ...]] = ("capture",)
PARTS: Final[dict[str, Part]] = {
    Comprehensive3DSRStorage: "report",
    KeyObjectSelectionDocumentStorage: "key_images",
    SecondaryCaptureImageStorage: "pictures",
    ParametricMapStorage: "map",
    SegmentationStorage: "outlines",
}
logger = logging.getLogger(__name__)


def render(
    judgement: Judgement, wanted: Format, language: Language, headers: Headers, metrics: Metrics
) -> tuple[bytes, ...]:
    """The files of a format other than JSON: one file, or one for each DICOM object. A file that cannot be written is
    counted.

    Raises NoDicomSource, and ResultNotWritten when no file can be written.
    """
    if wanted == "picture":
        return (_picture(judgement, language),)
    if wanted in ("html", "pdf"):
        page = case_page(judgement, language, datetime.now().astimezone())
        return (write_html(page) if wanted == "html" else page_as_pdf(page),)
    shown = headers(judgement.shown_instances)
    report = judgement.report(shown, datetime.now().astimezone(), language)
    if wanted == "fhir":
        pdf = paper_of(judgement, report) if judgement.parameters.pdf else None
        return (fhir_bundle(report, metrics, pdf=pdf),)
    files = dicom_files(report, metrics)
    return tuple(map(uncompressed, files) if wanted == "uncompressed_dicom" else files)


def _picture(judgement: Judgement, language: Language) -> bytes:
    if not isinstance(judgement.image, CTSlice):
        raise TypeError("the picture of an answer is of one slice")
    model = judgement.report((), datetime.now().astimezone()).model_line
    return to_png(draw(judgement.image, judgement.prediction, model=model, language=language))


def headers_of(data: bytes | memoryview) -> Headers:
    """A reader of the header of the one file that was judged; it gives none if the file is not DICOM."""
    return lambda _: [read_header(BytesIO(data))] if sniff(data) == "dicom" else []


def page_as_pdf(page: CasePage) -> bytes:
    """A case report as a PDF file."""
    # Imports reportlab, half a second: for those who want PDF.
    from app.reports.page_pdf import write_pdf

    return write_pdf(page, font_bytes())


def paper_of(judgement: Judgement, report: Report) -> bytes:
    """The case report for people that goes with a report, as a PDF file: a second of work."""
    return page_as_pdf(case_page(judgement, report.language, report.written))


def draw_slice(report: Report, shown: ReportedSlice, locator: Locator | None = None) -> NDArray[np.uint8]:
    """uint8 RGB (rows, columns, 3): one slice of a report, with its evidence; `locator` shows where in the series it
    lies."""
    return draw(
        shown.image,
        report.prediction,
        model=report.model_line,
        language=report.language,
        slice_ref=None if report.prediction.series is None else SliceRef(shown.index, shown.source.sop_instance_uid),
        locator=locator,
    )


def dicom_files(report: Report, metrics: Metrics) -> list[bytes]:
    """The DICOM objects of a report as files (PS3.10), without those that cannot be written.

    Raises NoDicomSource, and ResultNotWritten when none can be written.
    """
    return [content for _, content in _dicom_files(report, metrics)]


def fhir_bundle(report: Report, metrics: Metrics, *, transaction: bool = False, pdf: bytes | None = None) -> bytes:
    """The FHIR R4 bundle of a report, in UTF-8, with the case report for people if `pdf` is there; raises
    ResultNotWritten."""
    # Imports fhir.resources, 0.1 s: for those who want FHIR.
    from app.reports.fhir import write_bundle

    try:
        return json.dumps(write_bundle(report, transaction=transaction, pdf=pdf), ensure_ascii=False).encode()
    except MemoryError:
        raise
    # Whatever a header did to it: the same prediction can be had in another format.
    except Exception as error:
        note_unwritten(metrics, "fhir", error)
        raise not_written("a prediction that cannot be written as FHIR") from None


def series_result(
    report: Report, wanted: Collection[ObjectKind], metrics: Metrics, pdf: Callable[[], bytes] | None = None
) -> SeriesResult:
    """The result objects of a report to keep and to deliver, of the kinds wanted, without those that cannot be written.
    A bundle holds the PDF that `pdf` writes, if it can.

    Raises NoDicomSource, and ResultNotWritten when none can be written.
    """
    unwritten: list[str] = []
    objects: list[ResultObject] = []
    written: ReportReference | None = None
    if "dicom" in wanted:
        with suppress(ResultNotWritten):
            for instance, content in _dicom_files(report, metrics, unwritten.append):
                objects.append(stored(instance, content))
                if instance.SOPClassUID == Comprehensive3DSRStorage:
                    written = reference_to(instance)
    if "fhir" in wanted:
        try:
            objects.append(_stored_bundle(report, metrics, _tried(pdf, metrics, unwritten.append)))
        except ResultNotWritten:
            unwritten.append("fhir")
    if not objects:
        raise not_written("a prediction that cannot be written")
    return SeriesResult(objects, written, tuple(dict.fromkeys(unwritten)))


def stored_pictures(report: Report, metrics: Metrics, told: Callable[[str], None]) -> list[ResultObject]:
    """The pictures of a report alone, to keep and to deliver; `told` is called for each that cannot be written."""
    with suppress(ResultNotWritten):
        return [stored(*file) for file in _dicom_files(report, metrics, told, PICTURES)]
    return []


def _dicom_files(
    report: Report,
    metrics: Metrics,
    told: Callable[[str], None] = lambda _: None,
    kinds: Collection[Kind] | None = None,
) -> list[tuple[Dataset, bytes]]:
    """The objects of these kinds, or of all; `told` is called with the kind of each that cannot be written."""
    # Imports highdicom, with what it reads half a second and 85 MB: for those who want DICOM.
    from app.reports.dicom import write_files

    def failed(kind: str, error: Exception) -> None:
        note_unwritten(metrics, kind, error)
        told(kind)

    locator = locator_of(report.image) if isinstance(report.image, CTVolume) else None
    files = write_files(report, partial(draw_slice, locator=locator), failed, kinds)
    if not files:
        raise not_written("a prediction that cannot be written as DICOM")
    return files


def _tried(pdf: Callable[[], bytes] | None, metrics: Metrics, told: Callable[[str], None]) -> bytes | None:
    """What `pdf` writes; None, and counted, where it cannot: the bundle says all of it too."""
    if pdf is None:
        return None
    try:
        return pdf()
    except MemoryError:
        raise
    # Whatever a picture or a font did to it.
    except Exception as error:
        note_unwritten(metrics, "pdf", error)
        told("pdf")
        return None


def note_unwritten(metrics: Metrics, kind: str, error: Exception) -> None:
    """Log and count a result that cannot be written."""
    logger.error("a result of kind %s cannot be written: %s", kind, type(error).__name__, exc_info=error)
    metrics.results_unwritten(kind).inc()


def not_written(found: str) -> ResultNotWritten:
    """The error of a result that cannot be written."""
    return ResultNotWritten(
        found=found,
        expected="a source whose header gives what the format needs",
        remedy="Ask for JSON; the service's log says what failed.",
    )


def _stored_bundle(report: Report, metrics: Metrics, pdf: bytes | None) -> ResultObject:
    source = report.sources[0]
    study, series = source.study_instance_uid or "", source.series_instance_uid or ""
    content = fhir_bundle(report, metrics, transaction=True, pdf=pdf)
    # Of each judgement its own: one that is replaced must not be taken for one that is there.
    return ResultObject(report.instance_uid("fhir"), "fhir", study, series, "{}", content)


def stored(instance: Dataset, content: bytes) -> ResultObject:
    """A DICOM object to keep and to deliver, from its data set and its file."""
    # As written: what highdicom set may hold objects that JSON has no word for.
    header = pydicom.dcmread(BytesIO(content), stop_before_pixels=True)
    return ResultObject(
        uid=instance.SOPInstanceUID,
        kind="dicom",
        study_uid=instance.StudyInstanceUID,
        series_uid=instance.SeriesInstanceUID,
        attributes=json.dumps(header.to_json_dict(), ensure_ascii=False),
        content=content,
        part=PARTS.get(instance.SOPClassUID),
    )
