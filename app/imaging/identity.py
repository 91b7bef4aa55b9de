"""Which image a DICOM header belongs to: its UIDs, checked before results refer to them."""

from __future__ import annotations

import re
from typing import Final

from pydicom.uid import UID

from app.errors import InvalidUid, MalformedDicom
from app.imaging.ct import QualityNote, ScanFacts, SliceSource
from app.imaging.frame_groups import FrameGroups
from app.imaging.header import Header
from app.imaging.values import is_uid

AGE: Final = re.compile(r"([0-9]{3})Y")  # of adults, PS3.5 6.2; months and weeks are of infants
MAX_AGE_YEARS: Final = 120
MAX_TEXT: Final = 64  # of four kernels of 16 characters (SH)


def refuse_odd_uids(header: Header) -> None:
    """Raise InvalidUid where a Study, Series or SOP Instance UID is none; an image that lacks them is judged."""
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        uid = header.text(keyword)
        if uid is not None and not is_uid(uid):
            raise InvalidUid(
                found=f"{keyword} with a value that is no UID",
                expected="one UID: numbers separated by dots, at most 64 characters (PS3.5 9.1)",
                remedy="Send the original file; the tool that changed it must write UIDs.",
            )


def slice_source(
    header: Header, rows: int, columns: int, frame: int | None, facts: ScanFacts | None = None
) -> SliceSource:
    """Where a slice came from; `frame` is None unless there are several."""
    return SliceSource(
        kind="dicom",
        rows=rows,
        columns=columns,
        frame=frame,
        sop_class_uid=header.text("SOPClassUID"),
        sop_instance_uid=header.text("SOPInstanceUID"),
        series_instance_uid=header.text("SeriesInstanceUID"),
        study_instance_uid=header.text("StudyInstanceUID"),
        frame_of_reference_uid=_frame_of_reference(header),
        manufacturer=header.text_if_usable("Manufacturer"),
        accession_number=header.text_if_usable("AccessionNumber"),
        facts=facts or ScanFacts(),
    )


def scan_facts(header: Header, groups: FrameGroups, thickness_mm: float | None) -> ScanFacts:
    """What the header says of kernel, age and sex; what is odd counts as unstated, for nothing needs it."""
    age = AGE.fullmatch(_if_readable(header, "PatientAge") or "")
    years = int(age[1]) if age else None
    kernels = (_if_readable(place, "ConvolutionKernel") for place in groups.places)
    sex = _if_readable(header, "PatientSex")
    return ScanFacts(
        kernel=next((kernel for kernel in kernels if kernel is not None), None),
        thickness_mm=thickness_mm,
        age_years=years if years is not None and years <= MAX_AGE_YEARS else None,
        sex="male" if sex == "M" else "female" if sex == "F" else None,
    )


def _if_readable(header: Header, keyword: str) -> str | None:
    try:
        text = header.text(keyword)
    except MalformedDicom:
        return None
    return text if text is not None and text.isprintable() and len(text) <= MAX_TEXT else None


def frame_of_reference_notes(header: Header) -> tuple[QualityNote, ...]:
    """The remark about a Frame of Reference UID that is none: it counts as missing."""
    if _frame_of_reference(header) == header.text_if_usable("FrameOfReferenceUID"):
        return ()
    message = "Frame of Reference UID is no UID; results are not laid over the image."
    return (QualityNote("frame_of_reference_ignored", "warning", message),)


def _frame_of_reference(header: Header) -> str | None:
    uid = header.text_if_usable("FrameOfReferenceUID")
    # To the letter: nobody needs it to find the image, so that a leading zero (PS3.5 9.1) is not worth passing on.
    return uid if uid is not None and is_uid(uid) and UID(uid).is_valid else None
