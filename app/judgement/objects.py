"""A judgement in other formats than JSON: DICOM objects, a FHIR bundle, a picture.

Writing takes tenths of a second, and the first DICOM objects of a process half a second more for their library: run it
where the image is judged, off the event loop.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from io import BytesIO
from typing import Literal, TypeAlias

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from app.explain.canvas import to_png
from app.explain.overlay import draw
from app.imaging.ct import CTSlice
from app.imaging.read import sniff
from app.inference.prediction import SliceRef
from app.inference.vocabulary import Language
from app.judgement.judge import Judgement
from app.reports.report import Report, ReportedSlice
from app.reports.result import ObjectKind, ResultObject

Format: TypeAlias = Literal["json", "dicom", "fhir", "picture"]
# The data sets, without pixels, of the source instances with these SOP Instance UIDs; none for a picture.
Headers: TypeAlias = Callable[[Collection[str | None]], Sequence[Dataset]]


def render(judgement: Judgement, wanted: Format, language: Language, headers: Headers) -> tuple[bytes, ...]:
    """The files in a format other than JSON: one, or every DICOM object as one. Raises NoDicomSource."""
    if wanted == "picture":
        return (_picture(judgement, language),)
    shown = headers(judgement.shown_instances)
    report = judgement.report(shown, datetime.now().astimezone(), language)
    if wanted == "fhir":
        return (fhir_bundle(report),)
    return tuple(dicom_files(report))


def _picture(judgement: Judgement, language: Language) -> bytes:
    if not isinstance(judgement.image, CTSlice):
        raise TypeError("the picture of an answer is of one slice")
    model = judgement.report((), datetime.now().astimezone()).model_line
    return to_png(draw(judgement.image, judgement.prediction, model=model, language=language))


def headers_of(data: bytes | memoryview) -> Headers:
    """Of the one file that was judged, which may be no DICOM."""
    return lambda _: [pydicom.dcmread(BytesIO(data), stop_before_pixels=True)] if sniff(data) == "dicom" else []


def draw_slice(report: Report, shown: ReportedSlice) -> NDArray[np.uint8]:
    """uint8 RGB (rows, columns, 3): the evidence on one slice of a report."""
    ref = None if report.prediction.series is None else SliceRef(shown.index, shown.source.sop_instance_uid)
    return draw(shown.image, report.prediction, model=report.model_line, language=report.language, slice_ref=ref)


def dicom_objects(report: Report) -> tuple[Dataset, ...]:
    """Every DICOM object of a report; raises NoDicomSource."""
    # Imports highdicom, with what it reads half a second and 85 MB: for those who want DICOM.
    from app.reports.dicom import write_results

    return write_results(report, draw_slice)


def dicom_files(report: Report) -> list[bytes]:
    """The objects as files (PS3.10); raises NoDicomSource."""
    from app.reports.dicom import to_bytes

    return [to_bytes(instance) for instance in dicom_objects(report)]


def fhir_bundle(report: Report, *, transaction: bool = False) -> bytes:
    """A FHIR R4 bundle, as UTF-8."""
    # Imports fhir.resources, 0.1 s: for those who want FHIR.
    from app.reports.fhir import write_bundle

    return json.dumps(write_bundle(report, transaction=transaction), ensure_ascii=False).encode()


def result_objects(report: Report, wanted: Collection[ObjectKind]) -> list[ResultObject]:
    """What is kept and delivered of a report, of the kinds wanted; raises NoDicomSource."""
    objects = [_stored(instance) for instance in dicom_objects(report)] if "dicom" in wanted else []
    if "fhir" in wanted:
        source = report.sources[0]
        content = fhir_bundle(report, transaction=True)
        identifier = str(report.resource_id("delivery"))
        study, series = source.study_instance_uid or "", source.series_instance_uid or ""
        objects.append(ResultObject(identifier, "fhir", study, series, "{}", content))
    return objects


def _stored(instance: Dataset) -> ResultObject:
    from app.reports.dicom import to_bytes

    content = to_bytes(instance)
    # As written: what highdicom set may hold objects that JSON has no word for.
    header = pydicom.dcmread(BytesIO(content), stop_before_pixels=True)
    return ResultObject(
        uid=instance.SOPInstanceUID,
        kind="dicom",
        study_uid=instance.StudyInstanceUID,
        series_uid=instance.SeriesInstanceUID,
        attributes=json.dumps(header.to_json_dict(), ensure_ascii=False),
        content=content,
    )
