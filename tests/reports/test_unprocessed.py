"""The report on a series that was not judged, reports that replace others, and pictures that fail one by one."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import Comprehensive3DSRStorage, SecondaryCaptureImageStorage

from app.inference.bundle import Bundle
from app.reports.dicom import quiet_highdicom, to_bytes, write_files, write_results
from app.reports.fhir import write_bundle
from app.reports.predecessor import reference_to
from app.reports.report import Report, ReportedSlice
from app.reports.unprocessed import Reason, write_unprocessed
from tests.reports.cases import draw_report, header, series_files, series_report, slice_report
from tests.reports.odd_headers import check_values
from tests.reports.test_validators import complaints

REASON: Final = Reason("gantry_tilt", "found a tilt of 12 degrees; expected at most 1")
WHEN: Final = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def headers() -> list[Dataset]:
    return [header(data) for data in series_files()]


def unprocessed(bundle: Bundle, *, deidentified: bool = False) -> Dataset:
    quiet_highdicom()
    written = write_unprocessed(headers(), REASON, bundle, WHEN, deidentified=deidentified)
    assert written is not None
    return pydicom.dcmread(BytesIO(to_bytes(written)))


def _texts(dataset: Dataset) -> list[str]:
    found = [dataset.TextValue] if "TextValue" in dataset else []
    for item in dataset.get("ContentSequence", ()):
        found += _texts(item)
    return found


def test_it_says_why_in_the_patients_study_and_refers_to_every_instance(bundle: Bundle) -> None:
    report, first = unprocessed(bundle), headers()[0]
    assert report.SOPClassUID == Comprehensive3DSRStorage
    assert (report.StudyInstanceUID, report.PatientID) == (first.StudyInstanceUID, first.PatientID)
    assert "Not processed, because: found a tilt of 12 degrees; expected at most 1 (gantry_tilt)." in _texts(report)
    assert any("Research use only" in text for text in _texts(report))
    ((referenced,),) = (study.ReferencedSeriesSequence for study in report.CurrentRequestedProcedureEvidenceSequence)
    assert {item.ReferencedSOPInstanceUID for item in referenced.ReferencedSOPSequence} == {
        each.SOPInstanceUID for each in headers()
    }
    check_values(report)


def test_the_same_reason_gives_the_same_report_and_another_one_another(bundle: Bundle) -> None:
    first, again = unprocessed(bundle), unprocessed(bundle)
    assert to_bytes(first) == to_bytes(again)
    other = write_unprocessed(headers(), Reason("missing_slices", "a gap"), bundle, WHEN)
    assert other is not None
    assert other.SOPInstanceUID != first.SOPInstanceUID
    assert other.SeriesInstanceUID == first.SeriesInstanceUID


def test_it_names_no_patient_where_none_is_to_be_named(bundle: Bundle) -> None:
    report = unprocessed(bundle, deidentified=True)
    assert (report.PatientID, report.PatientIdentityRemoved, report.ContentDate) == ("", "YES", "19000101")


def test_without_uids_there_is_nothing_to_refer_to(bundle: Bundle) -> None:
    nameless = headers()[:1]
    del nameless[0].StudyInstanceUID
    assert write_unprocessed(nameless, REASON, bundle, WHEN) is None
    assert write_unprocessed([], REASON, bundle, WHEN) is None


@pytest.mark.interop
def test_dciodvfy_has_no_error_on_it(bundle: Bundle, dciodvfy: str, tmp_path: Path) -> None:
    reports = [unprocessed(bundle, deidentified=deidentified) for deidentified in (False, True)]
    before = reference_to(reports[0])
    later = write_results(replace(slice_report("normal", bundle), predecessor=before), draw_report)[0]
    assert not complaints(dciodvfy, map(to_bytes, [*reports, later]), tmp_path)


def test_a_report_names_the_one_that_it_replaces_but_never_itself(bundle: Bundle) -> None:
    report = series_report("cancer_suspected", bundle)
    first = write_results(report, draw_report)[0]
    before = reference_to(first)
    again = write_results(replace(report, predecessor=before), draw_report)[0]
    assert to_bytes(again) == to_bytes(first)
    first = write_results(slice_report("normal", bundle), draw_report)[0]
    later, *others = write_results(replace(report, predecessor=reference_to(first)), draw_report)
    assert any(text.startswith("replaces_report: ") for text in _texts(later))
    (study,) = later.PredecessorDocumentsSequence
    (series,) = study.ReferencedSeriesSequence
    (instance,) = series.ReferencedSOPSequence
    assert (study.StudyInstanceUID, series.SeriesInstanceUID, instance.ReferencedSOPInstanceUID) == (
        first.StudyInstanceUID,
        first.SeriesInstanceUID,
        first.SOPInstanceUID,
    )
    assert not any("PredecessorDocumentsSequence" in other for other in others)


def test_fhir_resources_of_a_series_are_the_same_with_any_number_of_slices(bundle: Bundle) -> None:
    def identifiers(report: Report) -> list[str]:
        entries = write_bundle(report, transaction=True)["entry"]
        return [entry["request"]["url"] for entry in entries if entry["request"]["method"] == "PUT"]

    whole, part = series_report("normal", bundle), series_report("normal", bundle, series_files()[1:])
    assert identifiers(replace(whole, lasting=True)) == identifiers(replace(part, lasting=True))
    assert identifiers(whole) != identifiers(part)


def test_one_picture_that_cannot_be_drawn_costs_no_other(bundle: Bundle) -> None:
    report = series_report("cancer_suspected", bundle)
    shown = report.pictured()
    assert len(shown) > 1

    def draw(of: Report, on: ReportedSlice) -> NDArray[np.uint8]:
        if on.index == shown[0].index:
            raise ZeroDivisionError
        return draw_report(of, on)

    failed: list[str] = []
    files = write_files(report, draw, lambda kind, _: failed.append(kind))
    assert failed == ["capture"]
    classes = [instance.SOPClassUID for instance, _ in files]
    assert classes.count(SecondaryCaptureImageStorage) == len(shown) - 1
    assert Comprehensive3DSRStorage in classes
