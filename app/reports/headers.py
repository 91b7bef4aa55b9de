"""What a result takes over from its source: patient and study, and the geometry highdicom asks for."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Final

from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, ParametricMapStorage, SegmentationStorage
from pydicom.valuerep import DSfloat

from app.imaging.ct import CTSlice, SliceSource
from app.reports.report import Report, derived_uid
from app.reports.source import BODY_PART, PATIENT, PATIENT_STUDY, STUDY, SourceHeader

UTF_8: Final = "ISO_IR 192"  # whatever the source was written in, every name can be written in this (PS3.3 C.12.1.1.2)

WITHOUT_SIDE: Final = frozenset(  # of the parts that a CT of the chest is labelled with (PS3.16 annex L)
    {
        *("ABDOMEN", "ABDOMENPELVIS", "AORTA", "CHEST", "CHESTABDOMEN", "CHESTABDPELVIS", "CORONARYARTERY", "HEART"),
        *("LIVER", "MEDIASTINUM", "NECK", "NECKCHEST", "NECKCHESTABDOMEN", "NECKCHESTABDPELV", "SPINE", "STERNUM"),
        *("THYMUS", "THYROID", "TLSPINE", "TRACHEA", "TSPINE", "WHOLEBODY"),
    }
)
WITH_ANATOMY: Final = (ParametricMapStorage, SegmentationStorage)  # coded, in segments or frames
TYPE_2: Final = (  # empty where the source has none (PS3.5 7.4.3)
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "AccessionNumber"),
    *("StudyID", "ReferringPhysicianName"),
)

SPECIES: Final = ("PatientSpeciesDescription", "PatientSpeciesCodeSequence")
OF_ANIMALS: Final = ("ResponsiblePerson", "ResponsibleOrganization")  # type 2C in PS3.3 C.7.1.1


def copy_patient_and_study(target: Dataset, source: SourceHeader) -> None:
    """Make `target` belong to the patient and study of `source`: what is valid is copied, nothing is invented."""
    for keyword in (*PATIENT, *STUDY, *PATIENT_STUDY):
        _copy(target, source, keyword)
    is_animal = any(keyword in source.dataset for keyword in SPECIES)
    for keyword in (*TYPE_2, *OF_ANIMALS) if is_animal else TYPE_2:
        if keyword not in source.dataset:
            setattr(target, keyword, None)
    target.SpecificCharacterSet = UTF_8


def copy_body_part(target: Dataset, source: SourceHeader) -> None:
    """Body Part Examined; an empty Laterality (PS3.3 C.7.3.1) where it is unknown whether the part has a side, but not
    beside coded anatomy."""
    _copy(target, source, BODY_PART)
    if target.get(BODY_PART) not in WITHOUT_SIDE and target.SOPClassUID not in WITH_ANATOMY:
        target.Laterality = None


def nameless(source: SliceSource) -> Dataset:
    """A data set that stands for one source before highdicom: its UIDs and a nameless patient.

    highdicom checks, and logs, what it is given, and a source need not be flawless to be reported on.
    """
    dataset = identified(source)
    for keyword in TYPE_2:
        setattr(dataset, keyword, None)
    return dataset


def identified(source: SliceSource) -> Dataset:
    """A data set with the UIDs of one source alone."""
    dataset = Dataset()
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = source.study_instance_uid, source.series_instance_uid
    dataset.SOPClassUID, dataset.SOPInstanceUID = source.sop_class_uid or CTImageStorage, source.sop_instance_uid
    return dataset


def reference(image: CTSlice, report: Report) -> Dataset:
    """`nameless`, with the geometry that was read from the source.

    A frame of a multi-frame image stands there as a slice with a UID of its own, until `restore_frames`.
    """
    source = image.source
    dataset = nameless(source)
    if source.frame is not None:
        dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, _stand_in(source)
    dataset.Modality, dataset.Rows, dataset.Columns = "CT", source.rows, source.columns
    dataset.PixelSpacing = decimal(image.spacing_mm)
    if report.thickness_mm is not None:
        (dataset.SliceThickness,) = decimal([report.thickness_mm])
    if image.orientation is not None and image.position_mm is not None:
        dataset.ImageOrientationPatient = decimal([*image.orientation.row, *image.orientation.column])
        dataset.ImagePositionPatient = decimal(image.position_mm)
        dataset.FrameOfReferenceUID = source.frame_of_reference_uid
    return dataset


def references(images: Sequence[CTSlice], report: Report) -> list[Dataset]:
    """`reference` of each image, for an object that lies on several: it has one frame of reference (PS3.3 C.7.4.1).

    Some anonymisers give every slice a frame of its own. Such slices were taken as one scan, with the remark
    `frames_of_reference_differ`, and lie in the first one's here too.
    """
    datasets = [reference(image, report) for image in images]
    for dataset in datasets:
        dataset.FrameOfReferenceUID = datasets[0].FrameOfReferenceUID
    return datasets


def restore_frames(instance: Dataset, report: Report) -> None:
    """Let every reference to a stand-in refer to the multi-frame image and the number of its frame."""
    frames = {_stand_in(source): source for source in report.sources if source.frame is not None}
    for item in _references(instance) if frames else ():
        source = frames.get(item.ReferencedSOPInstanceUID)
        if source is not None:
            item.ReferencedSOPClassUID = source.sop_class_uid
            item.ReferencedSOPInstanceUID = source.sop_instance_uid
            item.ReferencedFrameNumber = source.frame
    for series in instance.get("ReferencedSeriesSequence", ()) if frames else ():
        whole = {item.ReferencedSOPInstanceUID: item for item in series.ReferencedInstanceSequence}
        for item in whole.values():
            del item.ReferencedFrameNumber
        series.ReferencedInstanceSequence = list(whole.values())


def _stand_in(source: SliceSource) -> str:
    return derived_uid("frame", source.sop_instance_uid, source.frame)


def _references(dataset: Dataset) -> Iterator[Dataset]:
    if "ReferencedSOPInstanceUID" in dataset:
        yield dataset
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                yield from _references(item)


def has_place(image: CTSlice, report: Report) -> bool:
    """Whether it is known which part of the patient the slice shows, so that another object can be laid over it."""
    placed = image.orientation is not None and image.position_mm is not None
    return placed and image.source.frame_of_reference_uid is not None and report.thickness_mm is not None


def decimal(numbers: Sequence[float]) -> list[DSfloat]:
    """Numbers as decimal strings of at most 16 characters (PS3.5 6.2)."""
    return [DSfloat(number, auto_format=True) for number in numbers]


def _copy(target: Dataset, source: SourceHeader, keyword: str) -> None:
    if keyword in source.dataset:
        target.add(copy.deepcopy(source.dataset[keyword]))
