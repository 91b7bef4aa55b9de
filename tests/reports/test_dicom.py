"""Result objects belong to their source's patient and study, have their own lasting identity, and give nothing away."""

from __future__ import annotations

import logging
from dataclasses import replace
from io import BytesIO
from typing import Final

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID, EnhancedCTImageStorage

from app import __version__
from app.errors import NoDicomSource
from app.imaging.options import ReadOptions
from app.imaging.read import read_slice
from app.inference.bundle import Bundle
from app.reports.capture import write_captures
from app.reports.dicom import to_bytes, write_results
from app.reports.headers import UTF_8, reference
from app.reports.report import Report
from phantoms import slices as phantom
from tests.reports.cases import (
    DIAMETERS_MM,
    SLICES,
    WRITTEN,
    draw_report,
    enhanced_file,
    finding,
    header,
    predict,
    series_files,
    series_report,
    slice_file,
    slice_report,
)

NAMES: Final = {  # PS3.5 annexes H and J
    "GB18030": "Wang^XiaoDong=王^小东",
    "ISO 2022 IR 87": "Yamada^Tarou=山田^太郎=やまだ^たろう",
    "ISO_IR 192": "Müller^Łukasz=王^小東",
    "ISO_IR 100": "Buc^Jérôme",
}


def read(objects: tuple[Dataset, ...]) -> list[Dataset]:
    return [pydicom.dcmread(BytesIO(to_bytes(instance))) for instance in objects]


def in_charset(charset: str, name: str) -> bytes:
    """A file whose names are encoded in one character set."""
    dataset = pydicom.dcmread(BytesIO(slice_file()))
    dataset.SpecificCharacterSet = ["", charset] if charset.startswith("ISO 2022") else charset
    dataset.PatientName = name
    dataset.StudyDescription = name.split("=")[-1].replace("^", " ")
    procedure = Dataset()
    procedure.CodeValue, procedure.CodingSchemeDesignator = "1", "99LOCAL"
    procedure.CodeMeaning = dataset.StudyDescription
    dataset.ProcedureCodeSequence = [procedure]
    return phantom.file_bytes(dataset, dataset.file_meta.TransferSyntaxUID)


def test_the_same_report_gives_the_same_bytes(bundle: Bundle) -> None:
    first = [to_bytes(o) for o in write_results(series_report("cancer_suspected", bundle), draw_report)]
    again = [to_bytes(o) for o in write_results(series_report("cancer_suspected", bundle), draw_report)]
    assert len(first) == 1 + 1 + 2 + 1 + 1
    assert first == again


def test_identity_follows_what_the_answer_follows_from(bundle: Bundle) -> None:
    report = slice_report("normal", bundle)
    later = replace(report, written=WRITTEN.replace(year=2027))
    assert later.instance_uid("sr") == report.instance_uid("sr")
    others = [
        replace(report, bundle=replace(bundle, digest="sha256:" + "0" * 64)),
        replace(report, roi_px=(1.0, 2.0)),
        replace(report, searched={"detector": "sha256:" + "1" * 64}),
        replace(report, prediction=replace(report.prediction, operating_point=0.5)),
        slice_report("normal", bundle, slice_file(SOPInstanceUID="1.2.3")),
    ]
    uids = [r.instance_uid("sr") for r in (report, *others)] + [report.instance_uid("map")]
    assert len(set(uids)) == len(uids)
    assert all(UID(uid).is_valid for uid in uids)
    assert others[0].device_uid != report.device_uid
    assert others[1].series_uid("sr") == report.series_uid("sr")
    assert others[0].series_uid("sr") != report.series_uid("sr")


def test_objects_have_new_uids_in_the_study_of_the_source(bundle: Bundle) -> None:
    report = series_report("cancer_suspected", bundle)
    objects = read(write_results(report, draw_report))
    source = report.prediction.source
    taken = {source.series_instance_uid, *(s.sop_instance_uid for s in report.sources)}
    instances = [o.SOPInstanceUID for o in objects]
    assert len({*instances, *taken}) == len(instances) + len(taken)
    assert {o.StudyInstanceUID for o in objects} == {source.study_instance_uid}
    assert len({o.SeriesInstanceUID for o in objects} - taken) == 5
    for image in objects:
        if "FrameOfReferenceUID" in image:
            assert image.FrameOfReferenceUID == source.frame_of_reference_uid
    assert [o.SOPClassUID.name for o in objects] == [
        "Comprehensive 3D SR Storage",
        "Key Object Selection Document Storage",
        "Secondary Capture Image Storage",
        "Secondary Capture Image Storage",
        "Parametric Map Storage",
        "Segmentation Storage",
    ]


def test_objects_say_who_made_them_and_when(bundle: Bundle) -> None:
    report = slice_report("normal", bundle)
    for instance in read(write_results(report, draw_report)):
        ours = [i for i in instance.ContributingEquipmentSequence if i.Manufacturer == "Lungscope"]
        (equipment,) = ours
        assert equipment.DeviceUID == report.device_uid
        assert equipment.ManufacturerModelName == "nodule-classifier 1"
        assert equipment.SoftwareVersions == __version__
        assert "Research use only" in equipment.ContributionDescription
        assert (instance.ContentDate, instance.ContentTime) == ("20260314", "150926")
        assert instance.InstanceCreationDate == "20260314"
    structured = write_results(report, draw_report)[0]
    assert (structured.CompletionFlag, structured.VerificationFlag) == ("COMPLETE", "UNVERIFIED")
    assert structured.PreliminaryFlag == "PRELIMINARY"


def test_times_are_in_the_zone_of_the_source(bundle: Bundle) -> None:
    report = slice_report("normal", bundle, slice_file(TimezoneOffsetFromUTC="-0500"))
    for instance in read(write_results(report, draw_report)):
        assert instance.TimezoneOffsetFromUTC == "-0500"
        assert (instance.ContentDate, instance.ContentTime) == ("20260314", "020926")


@pytest.mark.parametrize("charset", NAMES)
def test_character_sets_survive(charset: str, bundle: Bundle) -> None:
    data = in_charset(charset, NAMES[charset])
    for instance in read(write_results(slice_report("normal", bundle, data), draw_report)):
        assert instance.SpecificCharacterSet == UTF_8
        assert str(instance.PatientName) == NAMES[charset]
        written = NAMES[charset].split("=")[-1].replace("^", " ")
        assert instance.StudyDescription == written
        assert instance.ProcedureCodeSequence[0].CodeMeaning == written


def test_patient_and_study_are_copied_and_never_invented(bundle: Bundle) -> None:
    data = slice_file(
        PatientBirthDate="19500102", PatientSex="F", PatientAge="076Y", StudyDate="20260301", AccessionNumber="A-17"
    )
    for instance in read(write_results(slice_report("normal", bundle, data), draw_report)):
        copied = (instance.PatientBirthDate, instance.PatientSex, instance.PatientAge, instance.StudyDate)
        assert copied == ("19500102", "F", "076Y", "20260301")
        assert instance.AccessionNumber == "A-17"
        assert (instance.StudyTime, instance.StudyID, str(instance.ReferringPhysicianName)) == ("", "", "")
        assert "PatientWeight" not in instance


@pytest.mark.parametrize(
    ("keyword", "odd", "written"),
    [
        ("PatientBirthDate", "unknown", ""),
        ("PatientSex", "female", ""),
        ("PatientID", "x" * 80, ""),
        ("PatientName", "^^^^^^^^", ""),
        ("PatientName", "Secret^Name^^^^^", "Secret^Name"),
        ("InstanceNumber", "0", "1"),
        ("InstanceNumber", "9" * 11, "1"),
    ],
)
def test_what_is_invalid_in_a_header_is_empty_in_results(keyword: str, odd: str, written: str, bundle: Bundle) -> None:
    vr = pydicom.datadict.dictionary_VR(keyword)
    validation = pydicom.config.settings.writing_validation_mode
    pydicom.config.settings.writing_validation_mode = pydicom.config.IGNORE
    data = slice_file(**{keyword: pydicom.DataElement(keyword, vr, odd)})
    pydicom.config.settings.writing_validation_mode = validation
    objects = read(write_results(slice_report("normal", bundle, data), draw_report))
    assert len(objects) == 5
    assert {str(o[keyword].value) for o in objects} == {written}


def test_a_frame_of_a_multi_frame_image_is_referred_to_by_its_number(bundle: Bundle) -> None:
    data = enhanced_file()
    ct_slice = read_slice(data, ReadOptions(frame=2))
    found = finding(1, ct_slice, (40.0, 60.0), DIAMETERS_MM[0], 0.9)
    prediction = predict("cancer_suspected", [found], ct_slice.source, ct_slice.spacing_mm)
    report = Report(prediction, ct_slice, [header(data)], bundle, WRITTEN, roi_px=(40.0, 60.0))
    objects = read(write_results(report, draw_report))
    assert len(objects) == 5
    references = [item for o in objects for item in references_in(o)]
    assert {r.ReferencedSOPInstanceUID for r in references} == {ct_slice.source.sop_instance_uid}
    assert {r.ReferencedSOPClassUID for r in references} == {EnhancedCTImageStorage}
    by_image = [r.ReferencedFrameNumber for r in references if "ReferencedFrameNumber" in r]
    assert len(by_image) >= 6  # both groups of the report, key image, picture, and the frames of map and segmentation
    assert set(by_image) == {2}


def references_in(dataset: Dataset) -> list[Dataset]:
    found = [dataset] if "ReferencedSOPInstanceUID" in dataset else []
    for element in dataset:
        if element.VR == "SQ":
            found += [deeper for item in element.value for deeper in references_in(item)]
    return found


def test_the_frames_of_a_multi_frame_series_stay_apart(bundle: Bundle) -> None:
    report = series_report("cancer_suspected", bundle, [enhanced_file()])
    structured, selection, *_, evidence, segmentation = read(write_results(report, draw_report))
    own = {2: -137.5, 4: -132.5}
    on_all = own | {1: -140.0, 3: -135.0, 5: -130.0}
    for instance, expected in ((evidence, own), (segmentation, on_all)):
        heights = {
            int(group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber): float(
                group.PlanePositionSequence[0].ImagePositionPatient[2]
            )
            for group in instance.PerFrameFunctionalGroupsSequence
        }
        assert heights == expected
        (whole,) = instance.ReferencedSeriesSequence[0].ReferencedInstanceSequence
        assert whole.ReferencedSOPInstanceUID == report.sources[0].sop_instance_uid
    for document in (structured, selection):
        (study,) = document.CurrentRequestedProcedureEvidenceSequence
        assert len(study.ReferencedSeriesSequence[0].ReferencedSOPSequence) == 1
    selected = [item.ReferencedSOPSequence[0] for item in selection.ContentSequence if item.ValueType == "IMAGE"]
    assert [int(item.ReferencedFrameNumber) for item in selected] == [2, 4]


def test_slices_with_frames_of_reference_of_their_own_have_outlines_and_map(bundle: Bundle) -> None:
    frames = [phantom.derived_uid(f"frame {n}") for n in range(SLICES)]
    files = [series_files(FrameOfReferenceUID=uid)[n] for n, uid in enumerate(frames)]
    *_, outlines, evidence = read(write_results(series_report("cancer_suspected", bundle, files), draw_report))
    assert {outlines.Modality, evidence.Modality} == {"OT", "SEG"}
    for instance in (outlines, evidence):
        assert int(instance.NumberOfFrames) > 1
        assert instance.FrameOfReferenceUID in frames


def test_without_a_place_in_the_patient_report_key_image_and_picture_remain(bundle: Bundle) -> None:
    objects = write_results(slice_report("normal", bundle, slice_file(FrameOfReferenceUID=None)), draw_report)
    assert [o.Modality for o in objects] == ["SR", "KO", "OT"]


def test_a_rejected_slice_without_findings_still_has_report_and_picture(bundle: Bundle) -> None:
    report = slice_report("rejected", bundle)
    report = replace(report, prediction=replace(report.prediction, findings=()), roi_px=None)
    assert [o.Modality for o in write_results(report, draw_report)] == ["SR", "OT"]


def test_a_series_without_findings_shows_its_middle_slice(bundle: Bundle) -> None:
    report = series_report("normal", bundle)
    report = replace(report, prediction=replace(report.prediction, findings=()))
    structured, capture = write_results(report, draw_report)
    middle = report.sources[2].sop_instance_uid
    assert capture.SourceImageSequence[0].ReferencedSOPInstanceUID == middle
    assert structured.StudyInstanceUID == report.sources[0].study_instance_uid


def test_a_picture_points_where_its_slice_does(bundle: Bundle) -> None:
    upside_down = slice_file(ImageOrientationPatient=[1, 0, 0, 0, -1, 0])
    (plain,) = write_captures(slice_report("normal", bundle), draw_report)
    (flipped,) = write_captures(slice_report("normal", bundle, upside_down), draw_report)
    assert list(plain.PatientOrientation) == ["L", "P"]
    assert list(flipped.PatientOrientation) == ["L", "A"]


def test_a_picture_has_no_dicom_to_refer_to(bundle: Bundle) -> None:
    hu = phantom.chest(size_px=128, spacing_mm=2.8)
    png = phantom.picture(phantom.windowed(hu, phantom.WINDOW_8_BIT, 8))
    ct_slice = read_slice(png, ReadOptions(pixel_spacing_mm=(2.8, 2.8)))
    prediction = predict("normal", [], ct_slice.source, ct_slice.spacing_mm)
    report = Report(prediction, ct_slice, [], bundle, WRITTEN)
    with pytest.raises(NoDicomSource, match="without Study, Series or SOP Instance UID"):
        write_results(report, draw_report)


def test_headers_of_other_images_are_not_enough(bundle: Bundle) -> None:
    report = replace(slice_report("normal", bundle), headers=[header(series_files()[0])])
    with pytest.raises(NoDicomSource, match="without its DICOM header"):
        write_results(report, draw_report)


def test_time_needs_a_zone(bundle: Bundle) -> None:
    with pytest.raises(ValueError, match="time zone"):
        replace(slice_report("normal", bundle), written=WRITTEN.replace(tzinfo=None))


def test_nothing_is_logged(bundle: Bundle, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    write_results(slice_report("normal", bundle, slice_file(PatientName="Secret^Name^^^^^")), draw_report)
    assert not caplog.text


def test_highdicom_sees_no_patient(bundle: Bundle) -> None:
    report = slice_report("normal", bundle)
    (shown,) = report.slices()
    assert phantom.SECRET_ID not in str(reference(shown.image, report))
