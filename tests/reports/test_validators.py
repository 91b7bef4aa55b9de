"""Others' tools on what is written: dciodvfy, dsrdump, HL7's JSON schema."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterable
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import pydicom
import pytest
from jsonschema import Draft7Validator

from app.guidelines.case import Context
from app.guidelines.register import GUIDELINES
from app.inference.bundle import Bundle
from app.inference.prediction import Measured, Size
from app.inference.vocabulary import Decision
from app.judgement.guideline_case import guidance_on
from app.judgement.parameters import Parameters
from app.reports import codes
from app.reports.compared import ComparedReport
from app.reports.comparison_report import write_comparison_report
from app.reports.dicom import to_bytes, write_results
from app.reports.fhir import write_bundle
from app.reports.fhir_comparison import write_comparison_bundle
from app.reports.report import Report
from app.reports.structured import write_structured_report
from phantoms import slices as phantom
from tests.reports.cases import (
    DECISIONS,
    draw_report,
    empty_report,
    enhanced_file,
    series_report,
    slice_file,
    slice_report,
)
from tests.reports.compared_cases import compared_pair, odd_pairs, written_pair
from tests.reports.written import Make, Written

pytestmark = pytest.mark.interop

SHARED: Final = {"lidc-0012": 60, "cptac-c3n-00247": 85}  # series and the slice of it to start with
OF_SELECTIONS: Final = ("W: Check for template constraints not yet supported",)
EXTRA_LINES: Final = ("W: The VR checker does not support this Specific Character Set: ISO_IR 192",)

FOR_ALL: Final = pytest.mark.parametrize("make", [slice_report, series_report, empty_report])
DECIDED: Final = pytest.mark.parametrize("decision", DECISIONS)


def complaints(dciodvfy: str, files: Iterable[bytes], folder: Path) -> list[str]:
    """Errors that dciodvfy reports, each with the number of its file."""
    found = []
    path = folder / "result.dcm"
    for number, data in enumerate(files):
        path.write_bytes(data)
        said = subprocess.run([dciodvfy, str(path)], capture_output=True, text=True, check=False)
        lines = (said.stderr + said.stdout).splitlines()
        assert lines, "dciodvfy names at least the object's class"
        found += [f"{number}: {line}" for line in lines if "Error" in line]
    return found


def files_of(report: Report) -> list[bytes]:
    return [to_bytes(instance) for instance in write_results(report, draw_report)]


def real_files(shared_data: Path, series: str, count: int) -> list[bytes]:
    files = sorted((shared_data / "series" / series).glob("*.dcm"))
    placed = sorted(
        files, key=lambda f: float(pydicom.dcmread(f, specific_tags=["ImagePositionPatient"]).ImagePositionPatient[2])
    )
    first = SHARED[series]
    return [path.read_bytes() for path in placed[first : first + count]]


@FOR_ALL
@DECIDED
def test_dciodvfy_has_no_error(make: Make, decision: Decision, written: Written, dciodvfy: str, tmp_path: Path) -> None:
    assert not complaints(dciodvfy, written(make, decision).files, tmp_path)


def test_dciodvfy_has_no_error_on_a_multi_frame_series(bundle: Bundle, dciodvfy: str, tmp_path: Path) -> None:
    report = series_report("cancer_suspected", bundle, [enhanced_file()])
    assert not complaints(dciodvfy, files_of(report), tmp_path)


@pytest.mark.parametrize("series", SHARED)
@DECIDED
def test_dciodvfy_has_no_error_on_real_sources(
    series: str, decision: Decision, bundle: Bundle, dciodvfy: str, shared_data: Path, tmp_path: Path
) -> None:
    files = real_files(shared_data, series, 5)
    for report in (slice_report(decision, bundle, files[0]), series_report(decision, bundle, files)):
        assert not complaints(dciodvfy, files_of(report), tmp_path)


def test_dciodvfy_sees_what_is_wrong(bundle: Bundle, dciodvfy: str, tmp_path: Path) -> None:
    structured, *_ = write_results(slice_report("normal", bundle), draw_report)
    del structured.CompletionFlag
    assert complaints(dciodvfy, [to_bytes(structured)], tmp_path)


@pytest.mark.parametrize(
    "missing",
    [
        {"PatientName": None, "PatientID": None, "InstanceNumber": None},
        {"FrameOfReferenceUID": None},
        {"SliceThickness": None},
        {"BodyPartExamined": "CHEST"},
    ],
    ids=lambda missing: ", ".join(missing),
)
def test_dciodvfy_has_no_error_where_the_source_is_poor(
    missing: dict[str, Any], bundle: Bundle, dciodvfy: str, tmp_path: Path
) -> None:
    data = slice_file(**{"InstanceNumber": 1, **{k: v for k, v in missing.items() if v is not None}})
    for keyword in (k for k, v in missing.items() if v is None):
        data = without(data, keyword)
    assert not complaints(dciodvfy, files_of(slice_report("cancer_suspected", bundle, data)), tmp_path)


@pytest.fixture(scope="module")
def compared(bundle: Bundle) -> ComparedReport:
    return written_pair(compared_pair(bundle))


def test_dciodvfy_and_dsrdump_read_a_comparison(
    compared: ComparedReport, bundle: Bundle, dciodvfy: str, dsrdump: str, tmp_path: Path
) -> None:
    """With guidelines and without, and of odd pairs."""
    bare = replace(compared, current=replace(compared.current, guidance=None))
    odd = map(written_pair, odd_pairs(bundle).values())
    files = [to_bytes(write_comparison_report(each)) for each in (compared, bare, *odd)]
    assert not complaints(dciodvfy, files, tmp_path)
    path = tmp_path / "comparison.dcm"
    path.write_bytes(files[0])
    said = subprocess.run([dsrdump, "+U8", "+Pc", "+Pl", str(path)], capture_output=True, text=True, check=True)
    assert not [line for line in said.stderr.splitlines() if line not in EXTRA_LINES]
    for code in (codes.SIZE_DIFFERENCE, codes.DOUBLING_TIME, codes.VERDICT, codes.ASSESSMENT_CATEGORY):
        assert f"({code.value},{code.scheme_designator}" in said.stdout


@pytest.mark.parametrize("paper", [None, b"%PDF-1.4 paper"])
def test_a_comparison_follows_the_r4_schema(
    compared: ComparedReport, bundle: Bundle, paper: bytes | None, fhir_schema: Path
) -> None:
    validator = r4_validator(fhir_schema)
    for each in (compared, *map(written_pair, odd_pairs(bundle).values())):
        written = write_comparison_bundle(each, paper)
        assert not [f"{'/'.join(map(str, e.path))}: {e.message}" for e in validator.iter_errors(written)]


@FOR_ALL
def test_what_guidelines_say_is_valid(
    make: Make, bundle: Bundle, dciodvfy: str, fhir_schema: Path, tmp_path: Path
) -> None:
    report = make("cancer_suspected", bundle)
    asked = Parameters(guidelines=tuple(GUIDELINES), context=Context(age_years=62, purpose="incidental"))
    told = replace(report, guidance=guidance_on(report.prediction, asked))
    assert not complaints(dciodvfy, [to_bytes(write_structured_report(told))], tmp_path)
    written = write_bundle(told, transaction=True)
    assert not [e.message for e in r4_validator(fhir_schema).iter_errors(written)]


def without(data: bytes, keyword: str) -> bytes:
    dataset = pydicom.dcmread(pydicom.filebase.DicomBytesIO(data))
    delattr(dataset, keyword)
    return phantom.file_bytes(dataset, dataset.file_meta.TransferSyntaxUID)


@FOR_ALL
@DECIDED
def test_dsrdump_prints_every_number_and_unit(
    make: Make, decision: Decision, written: Written, bundle: Bundle, dsrdump: str, tmp_path: Path
) -> None:
    report, path = written(make, decision).report, tmp_path / "report.dcm"
    path.write_bytes(written(make, decision).files[0])
    said = subprocess.run([dsrdump, "+U8", "+Pc", "+Pl", str(path)], capture_output=True, text=True, check=True)
    assert not [line for line in said.stderr.splitlines() if line not in EXTRA_LINES]
    numbers = [(float(n), unit) for n, unit in re.findall(r'="([-\d.e]+)" \(([^,]+),UCUM', said.stdout)]
    wanted = [] if report.prediction.probability is None else [(report.prediction.probability * 100, "%")]
    for finding in report.findings:
        wanted += (
            [] if finding.size is None or finding.probability is None else measured(finding.probability, finding.size)
        )
    numbers = numbers[len(numbers) - len(wanted) :]  # behind those of the image library
    for (number, unit), (value, wanted_unit) in zip(numbers, wanted, strict=True):
        assert number == pytest.approx(value, rel=0.005)
        assert unit == wanted_unit
    assert codes.decision_code(decision, bundle.manifest).value in said.stdout
    unjudged = [f for f in report.findings if f.probability is None]
    assert said.stdout.count("(114007,DCM") == len(unjudged) + (report.prediction.probability is None)


@FOR_ALL
def test_dsrdump_prints_every_key_image(make: Make, written: Written, dsrdump: str, tmp_path: Path) -> None:
    report, path = written(make, "cancer_suspected").report, tmp_path / "selection.dcm"
    (selection,) = [
        data for data in written(make, "cancer_suspected").files if pydicom.dcmread(BytesIO(data)).Modality == "KO"
    ]
    path.write_bytes(selection)
    said = subprocess.run([dsrdump, "+U8", "+Pl", "+Pu", str(path)], capture_output=True, text=True, check=True)
    assert not [line for line in said.stderr.splitlines() if line not in (*EXTRA_LINES, *OF_SELECTIONS)]
    for image in {report.index_of(finding) for finding in report.findings}:
        assert str(report.sources[image].sop_instance_uid) in said.stdout
    assert '"Of Interest"' in said.stdout
    assert "Research use only. Not a medical device." in said.stdout


def measured(probability: float, size: Size) -> list[tuple[float, str]]:
    """The numbers of a finding with their units, in their order: of the outline, then of the axes."""
    solid_mm, volume_mm3 = size.attenuation.solid_mm, size.volume_mm3
    assert solid_mm is not None
    of_volume = [] if volume_mm3 is None else with_margins(volume_mm3, "mm3")
    return [
        (size.area_mm2, "mm2"),
        (size.axes.long_mm, "mm"),
        (size.axes.short_mm, "mm"),
        (probability * 100, "%"),
        *with_margins(size.mean_mm, "mm"),
        *of_volume,
        (size.attenuation.median_hu, "[hnsf'U]"),
        *with_margins(solid_mm, "mm"),
    ]


def with_margins(of: Measured, unit: str) -> list[tuple[float, str]]:
    return [(of.value, unit), (of.value - of.low, unit), (of.high - of.value, unit)]


@pytest.mark.parametrize("transaction", [False, True])
@FOR_ALL
@DECIDED
def test_fhir_follows_the_r4_schema(
    make: Make, decision: Decision, transaction: bool, bundle: Bundle, fhir_schema: Path
) -> None:
    validator = r4_validator(fhir_schema)
    paper = b"%PDF-1.4 paper" if transaction else None
    written = write_bundle(make(decision, bundle), transaction=transaction, pdf=paper)
    assert not [f"{'/'.join(map(str, e.path))}: {e.message}" for e in validator.iter_errors(written)]
    written["entry"][0]["resource"]["status"] = "certain"
    assert list(validator.iter_errors(written))


def r4_validator(schema: Path) -> Draft7Validator:
    """Of bundles, by HL7's schema."""
    definitions = json.loads(schema.read_text("utf-8"))["definitions"]
    return Draft7Validator({"$ref": "#/definitions/Bundle", "definitions": definitions})
