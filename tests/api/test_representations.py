"""What Accept chooses: every rendering is read back and says what the JSON of the same request says."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import (
    Comprehensive3DSRStorage,
    ExplicitVRLittleEndian,
    JPEGLSLossless,
    KeyObjectSelectionDocumentStorage,
    ParametricMapStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)
from starlette.testclient import TestClient

from app.explain.figures import percent
from app.inference.vocabulary import DECISION_WORDS
from app.main import create_app
from app.settings import Settings
from phantoms.series import NODULE, SLICES, slice_file, zipped
from phantoms.slices import SECRET_ID, derived_uid, water
from tests.api.conftest import ON_NODULE, wait_until_ready
from tests.fakes import arithmetic_backends, write_models
from tests.reports.pdf_text import pages_of
from tests.reports.written import picture_of

DICOM: Final = "application/dicom"
RELATED: Final = 'multipart/related; type="application/dicom"'
FHIR: Final = "application/fhir+json"
PNG: Final = "image/png"
HTML: Final = "text/html"
PDF: Final = "application/pdf"
PROBABILITY, DIAMETER, FINDING = "111047", "81827009", "121071"  # DCM, SCT, DCM
CONCLUSION: Final = "121077"  # DCM
INDETERMINATE, SUSPECTED = "82334004", "162573006"  # SCT
DIGITS: Final = 0.005  # of a number with three significant digits: they are 0.5 % of it at most


@dataclass(frozen=True)
class Asked:
    """One request, to be sent under several Accept headers."""

    path: str
    body: bytes
    roi: str = ""

    def send(self, client: TestClient, accept: str, **headers: str) -> Any:
        given = {"accept": accept, **headers}
        return client.post(self.path, content=self.body, params={"roi": self.roi}, headers=given)

    def json(self, client: TestClient) -> dict[str, Any]:
        response = self.send(client, "application/json")
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer


SLICE: Final = Asked("/v1/predict", slice_file(8))
AT_ROI: Final = Asked("/v1/predict", slice_file(8), ",".join(map(str, NODULE.centre_px)))
SERIES: Final = Asked("/v1/studies", zipped([slice_file(index) for index in range(SLICES)]))
REJECTED: Final = Asked("/v1/predict", slice_file(8, water(128, 2.8)))
EACH: Final = pytest.mark.parametrize("asked", [SLICE, AT_ROI, SERIES], ids=["slice", "roi", "series"])


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    folder = tmp_path_factory.mktemp("models")
    write_models(folder)
    settings = Settings(models_dir=folder, threads=1, max_series=1)
    with TestClient(create_app(settings, backends=arithmetic_backends())) as client:
        wait_until_ready(client)
        yield client


def objects_of(response: Any) -> dict[str, list[Dataset]]:
    """The DICOM objects of an answer by SOP class."""
    assert response.status_code == 200, response.text
    content_type = response.headers["content-type"]
    declared = re.fullmatch(r'multipart/related; type="application/dicom"; boundary=(\S+)', content_type)
    assert declared is not None
    found: dict[str, list[Dataset]] = {}
    for part in response.content.split(f"--{declared[1]}".encode())[1:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        assert head == b"\r\nContent-Type: application/dicom"
        instance = dcmread(BytesIO(content.removesuffix(b"\r\n")))
        found.setdefault(instance.SOPClassUID, []).append(instance)
    return found


def items(dataset: Dataset, code: str) -> Iterator[Dataset]:
    """The content items of that name, in the order of the document."""
    for item in dataset.get("ContentSequence", ()):
        if item.get("ConceptNameCodeSequence") and item.ConceptNameCodeSequence[0].CodeValue == code:
            yield item
        yield from items(item, code)


def numbers(report: Dataset, code: str) -> list[float]:
    """The numbers under that name, less those of which the report says why there is none."""
    measured = (item.get("MeasuredValueSequence") for item in items(report, code))
    return [float(values[0].NumericValue) for values in measured if values]


def bundle_of(response: Any) -> list[dict[str, Any]]:
    """The resources of a FHIR answer."""
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == FHIR
    return [entry["resource"] for entry in json.loads(response.content)["entry"]]


def of_type(resources: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [resource for resource in resources if resource["resourceType"] == kind]


def pixels_of(response: Any) -> NDArray[np.uint8]:
    """The RGB pixels of a picture."""
    assert response.headers["content-type"] == PNG
    return np.asarray(Image.open(BytesIO(response.content)).convert("RGB"))


def instances_of(answer: dict[str, Any], asked: Asked) -> list[str]:
    """The instance that each finding lies on which other formats show."""
    if asked.path == "/v1/predict":
        return [derived_uid("slice 8") for _ in shown_of(answer, asked)]
    return [finding["slice"]["sop_instance_uid"] for finding in shown_of(answer, asked)]


def shown_of(answer: dict[str, Any], asked: Asked) -> list[dict[str, Any]]:
    """The findings that other formats show: not those of low suspicion, unless somebody pointed at them."""
    return [finding for finding in answer["findings"] if asked is AT_ROI or finding.get("suspicion") != "low"]


def diameters_of(findings: list[dict[str, Any]]) -> list[float]:
    """The mean diameters of some findings, in mm."""
    return [finding["size"]["mean_diameter_mm"]["value"] for finding in findings]


@EACH
def test_structured_report(client: TestClient, asked: Asked) -> None:
    answer = asked.json(client)
    (report,) = objects_of(asked.send(client, DICOM))[Comprehensive3DSRStorage]
    assert answer["decision"] == "cancer_suspected"
    assert next(items(report, FINDING)).ConceptCodeSequence[0].CodeValue == SUSPECTED
    shown = shown_of(answer, asked)
    said = [answer["probability"], *(finding["probability"] for finding in shown)]
    assert numbers(report, PROBABILITY) == pytest.approx([100 * each for each in said], rel=DIGITS)
    assert numbers(report, DIAMETER) == pytest.approx(diameters_of(shown), rel=DIGITS)
    assert report.StudyInstanceUID == derived_uid("study")
    assert report.PatientID == SECRET_ID
    evidence = report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0]
    assert evidence.SeriesInstanceUID == derived_uid("series")
    referenced = {item.ReferencedSOPInstanceUID for item in evidence.ReferencedSOPSequence}
    assert referenced >= set(instances_of(answer, asked))
    assert len(referenced) == (SLICES if asked is SERIES else 1)


@EACH
def test_key_images(client: TestClient, asked: Asked) -> None:
    answer = asked.json(client)
    (selection,) = objects_of(asked.send(client, RELATED))[KeyObjectSelectionDocumentStorage]
    images = [item.ReferencedSOPSequence[0] for item in selection.ContentSequence if item.ValueType == "IMAGE"]
    assert {item.ReferencedSOPInstanceUID for item in images} == set(instances_of(answer, asked))


@EACH
def test_segmentation_and_map(client: TestClient, asked: Asked) -> None:
    answer = asked.json(client)
    objects = objects_of(asked.send(client, RELATED))
    (segmentation,), (evidence,) = objects[SegmentationStorage], objects[ParametricMapStorage]
    shown = shown_of(answer, asked)
    assert len(segmentation.SegmentSequence) == len(shown)
    rows_mm, columns_mm = answer["source"]["pixel_spacing_mm"]
    largest_mm = 2 * np.sqrt(segmentation.pixel_array.sum(axis=(-1, -2)).max() * rows_mm * columns_mm / np.pi)
    assert largest_mm == pytest.approx(max(f["diameter_mm"] for f in shown), abs=rows_mm / 2)
    for instance in (segmentation, evidence):
        series = instance.ReferencedSeriesSequence[0]
        assert series.SeriesInstanceUID == derived_uid("series")
        referenced = {item.ReferencedSOPInstanceUID for item in series.ReferencedInstanceSequence}
        assert referenced >= set(instances_of(answer, asked))
        assert instance is segmentation or referenced == set(instances_of(answer, asked))


@EACH
def test_fhir_bundle(client: TestClient, asked: Asked) -> None:
    answer = asked.json(client)
    resources = bundle_of(asked.send(client, FHIR))
    (report,), (study,) = of_type(resources, "DiagnosticReport"), of_type(resources, "ImagingStudy")
    assert report["conclusionCode"][0]["coding"][0]["code"] == SUSPECTED
    shown = shown_of(answer, asked)
    said = [answer["probability"], *(finding["probability"] for finding in shown)]
    observations = of_type(resources, "Observation")
    values = [observation["valueQuantity"]["value"] for observation in observations]
    assert values == pytest.approx([100 * each for each in said], rel=DIGITS)
    diameters = [
        component["valueQuantity"]["value"]
        for observation in observations
        for component in observation.get("component", ())
        if component["code"]["coding"][0]["code"] == DIAMETER
    ]
    assert diameters == pytest.approx(diameters_of(shown), rel=DIGITS)
    assert study["identifier"][0]["value"] == f"urn:oid:{derived_uid('study')}"
    (series,) = study["series"]
    assert series["uid"] == derived_uid("series")
    assert {instance["uid"] for instance in series["instance"]} >= set(instances_of(answer, asked))
    assert report["subject"]["identifier"]["value"] == SECRET_ID


@pytest.mark.parametrize("asked", [SLICE, AT_ROI, REJECTED], ids=["slice", "roi", "rejected"])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_picture_is_that_of_the_secondary_capture(client: TestClient, asked: Asked, language: str) -> None:
    response = asked.send(client, PNG, **{"accept-language": language})
    picture = pixels_of(response)
    objects = objects_of(asked.send(client, DICOM, **{"accept-language": language}))
    (capture,) = objects[SecondaryCaptureImageStorage]
    assert np.array_equal(picture, picture_of(capture))
    assert capture.SourceImageSequence[0].ReferencedSOPInstanceUID == derived_uid("slice 8")


@pytest.mark.parametrize(
    ("syntaxes", "kept"),
    [
        (("1.2.840.10008.1.2.1",), ExplicitVRLittleEndian),
        (("1.2.840.10008.1.2.1", "*"), JPEGLSLossless),
        (("1.2.840.10008.1.2.4.80",), JPEGLSLossless),
    ],
)
def test_who_reads_no_jpeg_ls_gets_pictures_uncompressed(
    client: TestClient, syntaxes: tuple[str, ...], kept: str
) -> None:
    accept = ", ".join(f"{DICOM}; transfer-syntax={syntax}" for syntax in syntaxes)
    (capture,) = objects_of(AT_ROI.send(client, accept))[SecondaryCaptureImageStorage]
    assert capture.file_meta.TransferSyntaxUID == kept
    pixels = capture.pixel_array if kept == ExplicitVRLittleEndian else picture_of(capture)
    assert np.array_equal(pixels, pixels_of(AT_ROI.send(client, PNG)))


def test_captures_show_the_slices_with_findings(client: TestClient) -> None:
    captures = objects_of(SERIES.send(client, DICOM))[SecondaryCaptureImageStorage]
    shown = [capture.SourceImageSequence[0].ReferencedSOPInstanceUID for capture in captures]
    assert set(shown) == set(instances_of(SERIES.json(client), SERIES))


def test_a_rejection_is_said_in_every_format(client: TestClient) -> None:
    answer = REJECTED.json(client)
    assert (answer["decision"], answer["probability"], answer["reasons"]) == ("rejected", None, ["no_lung"])
    objects = objects_of(REJECTED.send(client, DICOM))
    assert set(objects) == {Comprehensive3DSRStorage, SecondaryCaptureImageStorage}
    (report,) = objects[Comprehensive3DSRStorage]
    assert next(items(report, FINDING)).ConceptCodeSequence[0].CodeValue == INDETERMINATE
    assert not numbers(report, PROBABILITY)
    assert "no_lung" in " ".join(item.TextValue for item in items(report, CONCLUSION))
    (observation,) = of_type(bundle_of(REJECTED.send(client, FHIR)), "Observation")
    assert "valueQuantity" not in observation
    assert observation["dataAbsentReason"]["coding"][0]["code"] == "not-performed"


def test_a_picture_as_source_has_no_dicom_but_the_rest(client: TestClient, suspicious: bytes) -> None:
    def ask(accept: str) -> Any:
        return client.post("/v1/predict", content=suspicious, params=ON_NODULE, headers={"accept": accept})

    for accept in (DICOM, RELATED):
        refused = ask(accept)
        assert (refused.status_code, refused.json()["code"]) == (406, "no_dicom_source")
    resources = bundle_of(ask(FHIR))
    assert not of_type(resources, "ImagingStudy")
    said = of_type(resources, "Observation")[0]["valueQuantity"]["value"]
    assert said == pytest.approx(100 * ask("*/*").json()["probability"], rel=DIGITS)
    assert pixels_of(ask(PNG)).shape[1] % 256 == 0


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("*/*", "application/json"),
        ("", "application/json"),
        ("application/*", "application/json"),
        ("image/*", PNG),
        ("text/html, */*;q=0.8", HTML),
        ("text/plain, */*;q=0.8", "application/json"),
        ("text/*", HTML),
        (f"{PDF}, {HTML};q=0.9", PDF),
        (f"application/json;q=0.5, {FHIR}", FHIR),
        (f"{FHIR};q=0.1, image/png;q=0.2, text/plain", PNG),
        (f"{FHIR}; fhirVersion=4.0", FHIR),
        (f"*/*, {FHIR};q=0.1, application/json;q=0, image/png;q=0", "multipart/related"),
        (f"{FHIR};q=7, application/json;q=9", "application/json"),
        (f'multipart/related; type="image/jpeg", {FHIR};q=0.1', FHIR),
        (f"application/dicom; transfer-syntax=1.2.840.10008.1.2.4.50, {FHIR};q=0.1", FHIR),
    ],
)
def test_accept_chooses(client: TestClient, accept: str, content_type: str) -> None:
    response = SLICE.send(client, accept)
    assert response.headers["content-type"].partition(";")[0] == content_type
    assert response.headers["vary"] == "Accept, Accept-Language"


@pytest.mark.parametrize("asked", [SLICE, SERIES], ids=["slice", "series"])
@pytest.mark.parametrize(
    "accept",
    [
        "text/plain",
        "application/json;q=0",
        "video/mp4, audio/*",
        'multipart/related; type="image/jpeg"',
        "multipart/related; type=application/dicom; transfer-syntax=1.2.840.10008.1.2.4.50",
    ],
)
def test_406_when_no_format_is_accepted(client: TestClient, asked: Asked, accept: str) -> None:
    response = asked.send(client, accept)
    assert (response.status_code, response.json()["code"]) == (406, "not_acceptable")


def test_accept_may_come_in_several_lines(client: TestClient) -> None:
    lines = [("accept", "text/plain"), ("accept", f"{FHIR};q=0.5"), ("accept", "image/png;q=0.4")]
    response = client.post("/v1/predict", content=SLICE.body, headers=lines)
    assert response.headers["content-type"] == FHIR


def test_length_of_several_files_is_told(client: TestClient) -> None:
    response = SLICE.send(client, DICOM)
    assert int(response.headers["content-length"]) == len(response.content)


@pytest.mark.parametrize("asked", [SLICE, AT_ROI, SERIES, REJECTED], ids=["slice", "roi", "series", "rejected"])
def test_a_case_report_is_for_people(client: TestClient, asked: Asked) -> None:
    answer = asked.json(client)
    page = asked.send(client, HTML, **{"accept-language": "zh"})
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["content-language"] == "zh"
    assert page.headers["content-security-policy"].startswith("default-src 'none'; style-src 'unsafe-inline'; img-src")
    assert DECISION_WORDS[answer["decision"]]["zh"] in page.text
    for finding in answer["findings"]:
        assert percent(finding["probability"]) in page.text
    assert SECRET_ID not in page.text
    paper = asked.send(client, PDF)
    assert paper.headers["content-type"] == PDF
    words = " ".join(pages_of(paper.content))
    assert "Research use only." in words
    assert answer["display"].split()[0] in words


@pytest.mark.parametrize("asked", [AT_ROI, SERIES], ids=["roi", "series"])
def test_a_bundle_holds_the_case_report_where_it_is_asked_for(client: TestClient, asked: Asked) -> None:
    query = {"roi": asked.roi, "pdf": "true"}

    def ask(accept: str) -> Any:
        return client.post(asked.path, content=asked.body, params=query, headers={"accept": accept})

    (report,) = of_type(bundle_of(ask(FHIR)), "DiagnosticReport")
    words = " ".join(pages_of(b64decode(report["presentedForm"][0]["data"])))
    assert "Research use only." in words
    for finding in shown_of(asked.json(client), asked):
        assert percent(finding["probability"]) in words
    assert "presentedForm" not in of_type(bundle_of(asked.send(client, FHIR)), "DiagnosticReport")[0]
    for accept in ("application/json", PDF, DICOM):
        refused = ask(accept)
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_parameter")


def test_a_series_is_no_picture(client: TestClient) -> None:
    response = SERIES.send(client, PNG)
    assert (response.status_code, response.json()["code"]) == (406, "not_acceptable")


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("*/*", "application/json"),
        ("application/x-ndjson, application/json", "application/x-ndjson"),
        (f"application/x-ndjson;q=0.5, {FHIR}", FHIR),
    ],
)
def test_events_are_one_format_of_a_series(client: TestClient, accept: str, content_type: str) -> None:
    assert SERIES.send(client, accept).headers["content-type"] == content_type


def test_the_contract_names_every_format(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    of_slice, of_series = (paths[path]["post"]["responses"] for path in ("/v1/predict", "/v1/studies"))
    assert set(of_slice["200"]["content"]) == {"application/json", RELATED, FHIR, HTML, PDF, PNG}
    assert set(of_series["200"]["content"]) == {"application/json", "application/x-ndjson", RELATED, FHIR, HTML, PDF}
    assert "no_dicom_source" in of_slice["406"]["description"]
