"""Results that name no patient: the basic profile of PS3.15 annex E, for what results take over and what we write.

UIDs stay: they are how a result refers to its images. So do the words and devices in it, which are ours. Pixels are not
looked at: a picture of a source that says that something is burned in is not made.
"""

from __future__ import annotations

from typing import Final

from pydicom.dataset import Dataset

from app.reports import codes
from app.reports.source import BODY_PART, SourceHeader

KEPT: Final = (BODY_PART, "InstanceNumber", "BurnedInAnnotation")  # in table E.1-1 stands none of them
METHOD: Final = "PS3.15 E.1 basic profile; UIDs retained"
# What else is done to results, or not: descriptions and content are ours, and so is the device.
APPLIED: Final = (
    codes.BASIC_PROFILE,
    codes.CLEAN_STRUCTURED_CONTENT,
    codes.CLEAN_DESCRIPTORS,
    codes.RETAIN_DEVICE,
    codes.RETAIN_UIDS,
)
DUMMIES: Final = {"ContentDate": "19000101", "ContentTime": "000000"}  # type 1, and Z/D in table E.1-1
TIMES: Final = ("DA", "DT", "TM")


def without_patient(header: SourceHeader) -> SourceHeader:
    """What is left of a source's header, and the statement that the identity was removed (PS3.3 C.7.1.1)."""
    left = Dataset()
    for keyword in KEPT:
        if keyword in header.dataset:
            left.add(header.dataset[keyword])
    left.PatientIdentityRemoved = "YES"
    left.DeidentificationMethod = METHOD
    left.DeidentificationMethodCodeSequence = list(map(codes.item, APPLIED))
    named = (tuple(word for word in words if word in KEPT) for words in (header.left_out, header.assumed))
    return SourceHeader(left, *named)


def remove_times(dataset: Dataset) -> None:
    """Take every date and time with a value out of a data set and its items; those that must be there get a dummy."""
    for element in list(dataset):
        if element.VR == "SQ":
            for item in element.value:
                remove_times(item)
        elif element.VR in TIMES and not element.is_empty:
            if element.keyword in DUMMIES:
                element.value = DUMMIES[element.keyword]
            else:
                del dataset[element.tag]
