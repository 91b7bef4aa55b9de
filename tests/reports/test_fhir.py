"""The FHIR bundle holds together, and may be sent any number of times."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs

import pytest
from fhir.resources.R4B.bundle import Bundle as FhirBundle

from app.imaging.options import ReadOptions
from app.imaging.read import read_slice
from app.inference.bundle import Bundle
from app.inference.vocabulary import Decision
from app.reports.fhir import write_bundle
from app.reports.report import Report, ResultOptions
from phantoms import slices as phantom
from tests.reports.cases import DECISIONS, WRITTEN, finding, predict, series_report, slice_file, slice_report


def references_in(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("reference"), str):
            yield value["reference"]
        for child in value.values():
            yield from references_in(child)
    elif isinstance(value, list):
        for child in value:
            yield from references_in(child)


def of_type(bundle: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [entry["resource"] for entry in bundle["entry"] if entry["resource"]["resourceType"] == kind]


def picture_report(bundle: Bundle) -> Report:
    hu = phantom.chest(size_px=128, spacing_mm=2.8)
    png = phantom.picture(phantom.windowed(hu, phantom.WINDOW_8_BIT, 8))
    ct_slice = read_slice(png, ReadOptions(pixel_spacing_mm=(2.8, 2.8)))
    found = finding(1, ct_slice, (40.0, 60.0), 12.0, 0.9)
    return Report(predict("cancer_suspected", [found], ct_slice.source, (2.8, 2.8)), ct_slice, [], bundle, WRITTEN)


@pytest.mark.parametrize("transaction", [False, True])
@pytest.mark.parametrize("decision", DECISIONS)
def test_references_resolve_inside_the_bundle(decision: Decision, transaction: bool, bundle: Bundle) -> None:
    report = series_report(decision, bundle)
    written = write_bundle(report, transaction=transaction)
    addresses = [entry["fullUrl"] for entry in written["entry"]]
    assert len(set(addresses)) == len(addresses) == 4 + len(report.findings)
    referenced = set(references_in(written))
    assert referenced <= set(addresses)
    assert len(referenced) == len(addresses) - 1  # all but the report, which nothing refers to
    for entry in written["entry"]:
        own = entry["resource"].get("id")
        assert own is None if transaction else entry["fullUrl"] == f"urn:uuid:{own}"


@pytest.mark.parametrize("make", [slice_report, series_report])
def test_it_is_json_that_fhir_resources_reads(make: Any, bundle: Bundle) -> None:
    written = write_bundle(make("indeterminate", bundle))
    read = FhirBundle.model_validate_json(json.dumps(written))
    assert json.loads(read.model_dump_json())["entry"][0]["resource"]["status"] == "preliminary"


def test_a_transaction_puts_results_and_keeps_what_the_server_knows(bundle: Bundle) -> None:
    written = write_bundle(slice_report("normal", bundle), transaction=True)
    requests = {entry["resource"]["resourceType"]: entry["request"] for entry in written["entry"]}
    assert requests["DiagnosticReport"]["method"] == "PUT"
    (identifier,) = parse_qs(requests["DiagnosticReport"]["url"].split("?")[1])["identifier"]
    own = of_type(written, "DiagnosticReport")[0]["identifier"][0]
    assert identifier == f"{own['system']}|{own['value']}"
    assert requests["ImagingStudy"]["method"] == requests["Device"]["method"] == "POST"
    (study,) = parse_qs(requests["ImagingStudy"]["ifNoneExist"])["identifier"]
    assert study == f"urn:dicom:uid|urn:oid:{phantom.derived_uid('study')}"


def test_the_same_report_gives_the_same_bundle(bundle: Bundle) -> None:
    report = slice_report("normal", bundle)
    assert write_bundle(report) == write_bundle(slice_report("normal", bundle))
    first, other = (write_bundle(r) for r in (report, replace(report, roi_px=(1.0, 2.0))))
    assert not {entry["fullUrl"] for entry in first["entry"]} & {entry["fullUrl"] for entry in other["entry"]}


def test_patient_date_and_accession_number_are_those_of_the_image(bundle: Bundle) -> None:
    data = slice_file(StudyDate="20260301", AccessionNumber="A-17", IssuerOfPatientID="Hospital")
    written = write_bundle(slice_report("normal", bundle, data))
    (report,) = of_type(written, "DiagnosticReport")
    subject = report["subject"]["identifier"]
    assert subject == {"value": phantom.SECRET_ID, "assigner": {"display": "Hospital"}}
    assert report["effectiveDateTime"] == "2026-03-01"
    assert report["issued"] == "2026-03-14T15:09:26+08:00"
    (study,) = of_type(written, "ImagingStudy")
    assert study["identifier"][1]["value"] == "A-17"
    assert phantom.SECRET_NAME not in json.dumps(written)


def test_numbers_of_the_hospital_stand_in_its_systems(bundle: Bundle) -> None:
    options = ResultOptions(patient_system="urn:oid:1.2.3", accession_system="https://hospital.example/accession")
    report = replace(slice_report("normal", bundle, slice_file(AccessionNumber="A-17")), options=options)
    written = write_bundle(report)
    (diagnostic,), (study,) = of_type(written, "DiagnosticReport"), of_type(written, "ImagingStudy")
    assert diagnostic["subject"]["identifier"]["system"] == "urn:oid:1.2.3"
    assert study["identifier"][1]["system"] == "https://hospital.example/accession"


def test_a_finding_says_where_it_lies(bundle: Bundle) -> None:
    written = write_bundle(series_report("cancer_suspected", bundle))
    found = of_type(written, "Observation")[1]
    assert found["bodySite"]["text"] == "right lung, upper third (estimate)"
    components = {each["code"]["coding"][0]["code"]: each for each in found["component"]}
    assert components["272741003"]["valueCodeableConcept"]["coding"][0]["code"] == "24028007"
    lobe, estimate = components["363698007"]["valueCodeableConcept"]["coding"]
    assert (lobe["code"], estimate["code"]) == ("45653009", "lobe-estimate")
    assert components["slice"]["valueInteger"] == 2


def test_the_paper_is_in_the_report_alone_where_it_is_wanted(bundle: Bundle) -> None:
    report = slice_report("normal", bundle)
    assert "presentedForm" not in of_type(write_bundle(report), "DiagnosticReport")[0]
    for transaction in (False, True):
        written = write_bundle(replace(report, language="zh"), transaction=transaction, pdf=b"%PDF-1.4 paper")
        (form,) = of_type(written, "DiagnosticReport")[0]["presentedForm"]
        assert b64decode(form["data"], validate=True) == b"%PDF-1.4 paper"
        assert (form["contentType"], form["language"], form["size"]) == ("application/pdf", "zh", 14)
        assert form["creation"] == "2026-03-14T15:09:26+08:00"
        FhirBundle.model_validate_json(json.dumps(written))
    nameless = write_bundle(replace(report, deidentified=True), pdf=b"%PDF-1.4 paper")
    assert "creation" not in of_type(nameless, "DiagnosticReport")[0]["presentedForm"][0]


def test_a_date_that_is_none_is_left_out(bundle: Bundle) -> None:
    dates = {"AcquisitionDate": "", "ContentDate": "", "StudyDate": ""}
    (report,) = of_type(write_bundle(slice_report("normal", bundle, slice_file(**dates))), "DiagnosticReport")
    assert "effectiveDateTime" not in report


def test_a_picture_has_neither_study_nor_known_patient(bundle: Bundle) -> None:
    written = write_bundle(picture_report(bundle))
    assert not of_type(written, "ImagingStudy")
    (report,) = of_type(written, "DiagnosticReport")
    assert "imagingStudy" not in report
    assert report["subject"]["extension"][0]["valueCode"] == "unknown"
    whole, found = of_type(written, "Observation")
    assert found["valueQuantity"]["value"] == pytest.approx(90)
    assert "derivedFrom" not in whole


def test_device_is_another_after_retraining(bundle: Bundle) -> None:
    (device,) = of_type(write_bundle(slice_report("normal", bundle)), "Device")
    retrained = replace(slice_report("normal", bundle), bundle=replace(bundle, digest="sha256:" + "0" * 64))
    (other,) = of_type(write_bundle(retrained), "Device")
    assert device["identifier"] != other["identifier"]
    assert {v["type"]["text"]: v["value"] for v in device["version"]}["digest"] == bundle.digest
