"""Results that name no patient: what is left of the source, in every format, and what is said of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from typing import Any, Final

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import SecondaryCaptureImageStorage

from app.inference.bundle import Bundle
from app.reports.dicom import to_bytes, write_results
from app.reports.fhir import write_bundle
from app.reports.report import Report
from app.reports.source import PATIENT, PATIENT_STUDY, STUDY
from tests.reports.cases import draw_report, header, series_files, series_report, slice_file, slice_report

CANARY: Final = "CANARY"
# One value for every text that results take over; what has another representation gets a date of its own.
TEXTS: Final[dict[str, Any]] = {
    "PatientName": f"{CANARY}^NAME",
    "PatientID": f"{CANARY}-ID",
    "PatientBirthDate": "19610203",
    "PatientSex": "F",
    "OtherPatientNames": f"{CANARY}^OTHER",
    "PatientComments": f"{CANARY} comment",
    "AccessionNumber": CANARY,
    "StudyID": CANARY,
    "StudyDate": "20210304",
    "StudyTime": "050607",
    "StudyDescription": f"{CANARY} study",
    "ReferringPhysicianName": f"{CANARY}^DOCTOR",
    "PatientAge": "063Y",
    "PatientWeight": "61",
    "Occupation": CANARY,
    "AcquisitionDate": "20210304",
    "ContentDate": "20210304",
    "InstitutionName": f"{CANARY} hospital",
    "TimezoneOffsetFromUTC": "+0800",
}
TRACES: Final = (CANARY, "19610203", "20210304", "2021-03-04", "063Y", "050607")
# PS3.15 table E.1-1, of what results hold: gone, empty or a dummy. UIDs and our own words and device stay, as is said.
GONE: Final = frozenset(
    {
        *("InstanceCreationDate", "InstanceCreationTime", "ContributionDateTime", "DateOfSecondaryCapture"),
        *("TimeOfSecondaryCapture", "SeriesDate", "SeriesTime", "TimezoneOffsetFromUTC", "StudyDescription"),
    }
)
EMPTY: Final = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "AccessionNumber"),
    *("StudyID", "ReferringPhysicianName"),
)
SAID: Final = frozenset({"PatientIdentityRemoved", "DeidentificationMethod", "DeidentificationMethodCodeSequence"})
APPLIED: Final = ["113100", "113104", "113105", "113109", "113110"]


def nameless(report: Report) -> Report:
    return replace(report, deidentified=True)


def written(report: Report) -> list[Dataset]:
    return [pydicom.dcmread(BytesIO(to_bytes(each))) for each in write_results(report, draw_report)]


def all_elements(dataset: Dataset) -> Iterator[Any]:
    for element in dataset:
        yield element
        if element.VR == "SQ":
            for item in element.value:
                yield from all_elements(item)


@pytest.fixture(scope="module")
def reports(bundle: Bundle) -> list[Report]:
    of_slice = slice_report("cancer_suspected", bundle, slice_file(**TEXTS))
    return [of_slice, series_report("cancer_suspected", bundle, series_files(**TEXTS))]


def test_the_canary_is_seen_where_nobody_asked_for_less(reports: list[Report]) -> None:
    for report in reports:
        assert all(CANARY in instance.PatientID for instance in written(report))
        assert CANARY in json.dumps(write_bundle(report))


def test_no_object_holds_a_trace_of_the_patient(reports: list[Report]) -> None:
    for report in map(nameless, reports):
        objects = write_results(report, draw_report)
        assert len(objects) >= 4
        for content in map(to_bytes, objects):
            assert not [trace for trace in TRACES if trace.encode() in content]


def test_what_must_be_there_is_empty_and_the_rest_is_gone(reports: list[Report]) -> None:
    taken_over = {*PATIENT, *STUDY, *PATIENT_STUDY}
    for report in map(nameless, reports):
        for instance in written(report):
            for keyword in EMPTY:
                assert keyword in instance
                assert instance[keyword].is_empty
            there = {element.keyword for element in all_elements(instance)}
            assert not there & GONE
            assert there & taken_over == {*EMPTY, *SAID} & there
            assert there >= SAID


def test_no_date_or_time_is_left_but_the_dummies_that_must_be_there(reports: list[Report]) -> None:
    for report in map(nameless, reports):
        for instance in written(report):
            times = {
                element.keyword: str(element.value)
                for element in all_elements(instance)
                if element.VR in ("DA", "TM", "DT") and not element.is_empty
            }
            assert times == {"ContentDate": "19000101", "ContentTime": "000000"}


def test_it_says_by_which_profile_and_that_uids_are_kept(reports: list[Report]) -> None:
    for report in map(nameless, reports):
        for instance in written(report):
            assert instance.PatientIdentityRemoved == "YES"
            assert [item.CodeValue for item in instance.DeidentificationMethodCodeSequence] == APPLIED
            assert instance.StudyInstanceUID == report.sources[0].study_instance_uid


def test_the_findings_are_the_same(reports: list[Report]) -> None:
    for report in reports:
        for named, without in zip(written(report), written(nameless(report)), strict=True):
            assert (named.SOPInstanceUID, named.SOPClassUID) == (without.SOPInstanceUID, without.SOPClassUID)
            assert named.get("ContentSequence") == without.get("ContentSequence")
            assert named.get("PixelData") == without.get("PixelData")


@pytest.mark.parametrize("transaction", [False, True])
def test_the_bundle_names_nobody_and_no_day(reports: list[Report], transaction: bool) -> None:
    for report in map(nameless, reports):
        bundle = write_bundle(report, transaction=transaction)
        text = json.dumps(bundle)
        assert not [trace for trace in TRACES if trace in text]
        assert not [word for word in ("issued", "effective", "timestamp", str(report.written.year)) if word in text]
        subjects = [entry["resource"]["subject"] for entry in bundle["entry"] if "subject" in entry["resource"]]
        assert subjects
        assert all("identifier" not in subject for subject in subjects)


def test_a_picture_with_something_burned_in_is_not_made(bundle: Bundle) -> None:
    report = slice_report("normal", bundle, slice_file(BurnedInAnnotation="YES"))
    (capture,) = [each for each in written(report) if each.SOPClassUID == SecondaryCaptureImageStorage]
    assert capture.BurnedInAnnotation == "YES"
    assert SecondaryCaptureImageStorage not in {each.SOPClassUID for each in written(nameless(report))}


@pytest.mark.parametrize("deidentified", [False, True])
def test_the_preamble_of_a_file_goes_no_further(bundle: Bundle, deidentified: bool) -> None:
    """PS3.10 7.1: 128 bytes that nobody reads, in which anything may stand."""
    data = (CANARY * 22).encode()[:128] + slice_file()[128:]
    report = replace(slice_report("normal", bundle, data), deidentified=deidentified)
    assert header(data).preamble.startswith(CANARY.encode())
    for content in map(to_bytes, write_results(report, draw_report)):
        assert content[:132] == bytes(128) + b"DICM"
        assert CANARY.encode() not in content
