"""The other formats of a prediction: DICOM objects, a FHIR bundle, a picture. All are written from one `Report`."""

from __future__ import annotations

import json
from collections.abc import Collection
from io import BytesIO

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from app.delivery.store import ObjectKind, ResultObject
from app.explain.overlay import draw
from app.inference.prediction import SliceRef
from app.reports.report import Report, ReportedSlice


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
