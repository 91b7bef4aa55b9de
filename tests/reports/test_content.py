"""What a reader sees first, what is left out of results, and how many pictures there are."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import Comprehensive3DSRStorage, ExplicitVRLittleEndian, JPEGLSLossless

from app.imaging.ct import QualityNote
from app.inference.bundle import Bundle
from app.inference.vocabulary import Suspicion
from app.reports.capture import write_captures
from app.reports.dicom import to_bytes
from app.reports.fhir import write_bundle
from app.reports.key_images import write_key_images
from app.reports.predecessor import replacing
from app.reports.report import Report, ResultOptions
from app.reports.result import ReportReference
from app.reports.segmentation import write_segmentation
from app.reports.structured import write_structured_report
from app.reports.summary import summary
from tests.reports.cases import draw_report, empty_report, series_report, slice_report
from tests.reports.conftest import tool
from tests.reports.written import picture_of

SEARCH: Final = (
    QualityNote("nodules_may_be_missed", "warning", "Suspicious nodules are missed: 3 of 4."),
    QualityNote("study_level_not_validated", "warning", "Measured on 3 scans."),
)


def with_suspicions(report: Report, *suspicions: Suspicion) -> Report:
    findings = [replace(f, suspicion=s) for f, s in zip(report.prediction.findings, suspicions, strict=True)]
    return replace(report, prediction=replace(report.prediction, findings=tuple(findings)))


def sections(instance: Dataset) -> list[str]:
    return [item.ConceptNameCodeSequence[0].CodeMeaning for item in instance.ContentSequence]


def test_the_summary_comes_first_and_says_what_was_found(bundle: Bundle) -> None:
    report = with_suspicions(series_report("cancer_suspected", bundle), "suspected", "open", "low")
    report = replace(report, prediction=replace(report.prediction, quality=(*report.prediction.quality, *SEARCH)))
    instance = write_structured_report(report)
    assert sections(instance)[-3:] == ["Summary", "Image Library", "Imaging Measurements"]
    lines = [item.TextValue for item in instance.ContentSequence[-3].ContentSequence]
    assert lines == [
        "Suspicious for lung cancer.",
        "2 findings shown, the most suspicious first. 1 of low suspicion left out.",
        "Most suspicious: finding 1, right lung, upper third (estimate), slice 2 of 5 at z -147.5 mm, 13 x 9.97 mm, "
        "part-solid, probability 87.4 %. Counts as suspicious in the decision (score 2.50).",
        "Suspicious nodules are missed: 3 of 4.",
        "Measured on 3 scans.",
        "Research use only. Not a medical device.",
    ]
    assert write_bundle(report)["entry"][0]["resource"]["conclusion"] == " ".join(lines)


def test_what_was_pointed_at_is_shown_whatever_it_counts_for(bundle: Bundle) -> None:
    report = with_suspicions(slice_report("normal", bundle), "low")
    assert [f.id for f in report.findings] == [1]
    assert summary(report)[2].startswith("Finding 1: right lung")


def test_a_search_that_finds_nothing_of_note_says_so(bundle: Bundle) -> None:
    report = series_report("normal", bundle)
    assert summary(report)[:2] == ("No suspicious nodule found.", "No finding shown. 3 of low suspicion left out.")
    assert summary(empty_report("normal", bundle))[1] == "No finding shown."
    assert write_segmentation(report) is None
    assert write_key_images(report) is None


def test_key_images_say_whether_their_report_replaces_another(bundle: Bundle) -> None:
    report = series_report("cancer_suspected", bundle)
    before = ReportReference("1.2", "1.2.3", "1.2.3.4", Comprehensive3DSRStorage)
    said = [key_object_description(each) for each in (report, replace(report, predecessor=before))]
    counted = "Lungscope, research software: 3 findings shown on 2 images."
    assert said == [
        f"{counted} Research use only. Not a medical device.",
        f"{counted} They go with a report that replaces an earlier one on the same series. "
        "Research use only. Not a medical device.",
    ]


def test_a_report_names_every_one_before_it_the_latest_first() -> None:
    def earlier(uid: str, series: str = "1.2.3") -> ReportReference:
        return ReportReference("1.2", series, uid, Comprehensive3DSRStorage)

    last = earlier("1.9.3").beside(earlier("1.9.2").beside(earlier("1.9.1")), earlier("1.9.0", "1.2.4"))
    report = Dataset()
    report.SOPInstanceUID = "1.9.4"
    (study,) = replacing(report, last).PredecessorDocumentsSequence
    named = {
        str(series.SeriesInstanceUID): [str(item.ReferencedSOPInstanceUID) for item in series.ReferencedSOPSequence]
        for series in study.ReferencedSeriesSequence
    }
    assert study.StudyInstanceUID == "1.2"
    assert named == {"1.2.3": ["1.9.3", "1.9.2", "1.9.1"], "1.2.4": ["1.9.0"]}


def key_object_description(report: Report) -> str:
    selection = write_key_images(report)
    assert selection is not None
    (said,) = [
        item.TextValue
        for item in selection.ContentSequence
        if item.ValueType == "TEXT" and "Description" in item.ConceptNameCodeSequence[0].CodeMeaning
    ]
    return str(said)


def test_the_image_library_holds_the_slices_that_are_referred_to(bundle: Bundle) -> None:
    report = series_report("cancer_suspected", bundle)
    (group,) = write_structured_report(report).ContentSequence[-2].ContentSequence
    images = [item for item in group.ContentSequence if item.ValueType == "IMAGE"]
    assert [item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for item in images] == [
        on.source.sop_instance_uid for on in report.slices()
    ]
    heights = [float(item.ContentSequence[2].MeasuredValueSequence[0].NumericValue) for item in images]
    assert heights == [-147.5, -142.5]


def test_pixels_of_two_outlines_are_those_of_the_finding_that_comes_first(bundle: Bundle) -> None:
    report = series_report("cancer_suspected", bundle)
    first, second, _ = report.prediction.findings
    second = replace(second, outline_px=first.outline_px, outlines=(), slice=first.slice)
    findings = (first, second)
    instance = write_segmentation(replace(report, prediction=replace(report.prediction, findings=findings)))
    assert instance is not None
    assert [segment.SegmentLabel for segment in instance.SegmentSequence] == ["Finding 1"]


def test_there_are_as_many_pictures_as_the_site_allows_the_most_suspicious_first(bundle: Bundle) -> None:
    report = series_report("cancer_suspected", bundle)
    one, two, three = report.prediction.findings
    report = replace(report, prediction=replace(report.prediction, findings=(two, one, three)))
    shown = [capture.SourceImageSequence[0].ReferencedSOPInstanceUID for capture in write_captures(report, draw_report)]
    assert shown == [two.slice and two.slice.sop_instance_uid, one.slice and one.slice.sop_instance_uid]
    (only,) = write_captures(replace(report, options=ResultOptions(max_pictures=1)), draw_report)
    assert only.SourceImageSequence[0].ReferencedSOPInstanceUID == shown[0]
    assert only.InstanceNumber == 1


def test_pictures_are_compressed_without_loss(bundle: Bundle) -> None:
    report = slice_report("cancer_suspected", bundle)
    (on,) = report.slices()
    drawn = draw_report(report, on)
    (capture,) = (pydicom.dcmread(BytesIO(to_bytes(c))) for c in write_captures(report, draw_report))
    assert capture.file_meta.TransferSyntaxUID == JPEGLSLossless
    assert np.array_equal(picture_of(capture), drawn)
    assert len(capture.PixelData) < drawn.nbytes / 8


@pytest.mark.interop
def test_dcmtk_reads_the_pictures(bundle: Bundle, tmp_path: Path) -> None:
    report = slice_report("cancer_suspected", bundle)
    (on,) = report.slices()
    (capture,) = write_captures(report, draw_report)
    (tmp_path / "picture.dcm").write_bytes(to_bytes(capture))
    subprocess.run(
        [tool("dcmdjpls", "dcmtk"), str(tmp_path / "picture.dcm"), str(tmp_path / "plain.dcm")],
        check=True,
        capture_output=True,
    )
    plain = pydicom.dcmread(tmp_path / "plain.dcm")
    assert plain.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert np.array_equal(plain.pixel_array, draw_report(report, on))
