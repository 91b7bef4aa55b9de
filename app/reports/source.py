"""The header of a source as results take it over: what is valid, as Unicode; what is not is named and left out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from pydicom import config
from pydicom.charset import default_encoding
from pydicom.datadict import dictionary_has_tag, dictionary_VM, dictionary_VR, keyword_for_tag, tag_for_keyword
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag
from pydicom.valuerep import validate_value

from app.imaging.characters import CHARACTER_SET, Decoded, decode_text, encodings_of
from app.imaging.ct import QualityNote
from app.imaging.values import LINES, TEXTS, fitted, may_stand_in

PATIENT: Final = (  # PS3.3 C.7.1.1
    *("PatientName", "PatientID", "IssuerOfPatientID", "IssuerOfPatientIDQualifiersSequence", "TypeOfPatientID"),
    *("PatientBirthDate", "PatientBirthTime", "PatientBirthDateInAlternativeCalendar", "PatientSex"),
    *("PatientDeathDateInAlternativeCalendar", "PatientAlternativeCalendar", "OtherPatientIDs", "OtherPatientNames"),
    *("OtherPatientIDsSequence", "EthnicGroup", "PatientComments", "QualityControlSubject", "PatientIdentityRemoved"),
    *("DeidentificationMethod", "DeidentificationMethodCodeSequence", "ResponsiblePerson", "ResponsiblePersonRole"),
    *("ResponsibleOrganization", "PatientSpeciesDescription", "PatientSpeciesCodeSequence"),
)
STUDY: Final = (  # PS3.3 C.7.2.1 without the UID, and the time zone of its dates (C.12.1)
    *("StudyDate", "StudyTime", "AccessionNumber", "IssuerOfAccessionNumberSequence", "StudyID"),
    *("ReferringPhysicianName", "ReferringPhysicianIdentificationSequence", "ConsultingPhysicianName"),
    *("StudyDescription", "PhysiciansOfRecord", "NameOfPhysiciansReadingStudy", "RequestingService"),
    *("ReferencedStudySequence", "ProcedureCodeSequence", "TimezoneOffsetFromUTC"),
)
PATIENT_STUDY: Final = (  # PS3.3 C.7.2.2
    *("AdmittingDiagnosesDescription", "AdmittingDiagnosesCodeSequence", "PatientAge", "PatientSize", "PatientWeight"),
    *("MedicalAlerts", "Allergies", "SmokingStatus", "PregnancyStatus", "LastMenstrualDate", "PatientState"),
    *("Occupation", "AdditionalPatientHistory", "AdmissionID", "IssuerOfAdmissionIDSequence", "ServiceEpisodeID"),
)
BODY_PART: Final = "BodyPartExamined"
# Not copied, but followed by the number of a result and by FHIR. UIDs are those of `SliceSource`.
FOLLOWED: Final = ("InstanceNumber", "AcquisitionDate", "ContentDate", "BurnedInAnnotation")
TAKEN_OVER: Final = (*PATIENT, *STUDY, *PATIENT_STUDY, BODY_PART, *FOLLOWED)

GROUP_LENGTH: Final = 0x0000  # the element of every group that counts its bytes
NUMBERS: Final = frozenset({"FD", "FL", "SL", "SS", "SV", "UL", "US", "UV"})
# Attributes that say nothing, and may not stand there, without one of these (types 1C and 2C in PS3.3 C.7.1.1).
NEEDS: Final[dict[str, tuple[str, ...]]] = {
    "ResponsiblePerson": ("ResponsiblePersonRole",),
    "ResponsiblePersonRole": ("ResponsiblePerson",),
    "PatientBirthDateInAlternativeCalendar": ("PatientAlternativeCalendar",),
    "PatientDeathDateInAlternativeCalendar": ("PatientAlternativeCalendar",),
    "PatientAlternativeCalendar": ("PatientBirthDateInAlternativeCalendar", "PatientDeathDateInAlternativeCalendar"),
    "PatientIdentityRemoved": ("DeidentificationMethod", "DeidentificationMethodCodeSequence"),
}
CODE_VALUES: Final = ("CodeValue", "LongCodeValue", "URNCodeValue")  # one of them, with its meaning (PS3.3 table 8.8-1)
MAX_VALUES: Final = (
    256  # of an attribute, or items; of names and codes there are a few, and each is copied into each result
)
MAX_DEPTH: Final = 4  # sequences within sequences; codes and issuers have two


@dataclass(frozen=True, slots=True, eq=False)
class SourceHeader:
    """`dataset` holds the valid values of TAKEN_OVER and nothing else. `left_out` and `assumed` are keywords: of what
    had an invalid value, and of what is in another character set than declared."""

    dataset: Dataset
    left_out: tuple[str, ...]
    assumed: tuple[str, ...]

    @classmethod
    def of(cls, header: Dataset) -> SourceHeader:
        """Take over what can be; never raises for a value."""
        reader = _Reader(_encodings(header, [default_encoding]))
        taken, left_out = Dataset(), []
        for keyword in TAKEN_OVER:
            tag = BaseTag(tag_for_keyword(keyword) or 0)
            try:
                element = reader.element(header, tag) if tag in header else None
            # pydicom converts on access and raises whatever its converters meet.
            except Exception:
                left_out.append(keyword)
                continue
            if element is not None:
                taken.add(element)
            if tag in reader.spoilt:
                left_out.append(keyword)
        for keyword, needed in NEEDS.items():
            # "NO", of an identity that was not removed, needs nothing.
            if taken.get(keyword, "NO") != "NO" and not any(word in taken for word in needed):
                del taken[keyword]
                left_out.append(keyword)
        assumed = tuple(word for word in TAKEN_OVER if word in taken and tag_for_keyword(word) in reader.assumed)
        return cls(taken, tuple(left_out), assumed)


def remarks_on(headers: Sequence[SourceHeader]) -> tuple[QualityNote, ...]:
    """What there is to say of headers that were not taken over as they stand: keywords, never values."""
    left_out = ", ".join(dict.fromkeys(word for header in headers for word in header.left_out))
    assumed = ", ".join(dict.fromkeys(word for header in headers for word in header.assumed))
    absent = f"The source has no valid value, and the results none, in: {left_out}."
    other = f"Not in the character set that the source declares, read in another: {assumed}."
    said = (
        (left_out, QualityNote("header_values_left_out", "warning", absent)),
        (assumed, QualityNote("characters_assumed", "warning", other)),
    )
    return tuple(note for keywords, note in said if keywords)


class _Invalid(Exception):
    """A value that is not taken over, and with it the item it stands in."""


class _Reader:
    """Reads elements of one header; keeps the tags of those that lost a value or were decoded by assumption."""

    def __init__(self, encodings: Sequence[str]) -> None:
        self._encodings = encodings
        self.spoilt: set[int] = set()
        self.assumed: set[int] = set()

    def element(self, header: Dataset, tag: BaseTag, depth: int = MAX_DEPTH) -> DataElement | None:
        """A valid copy; None where nothing, or nothing valid, is there. Raises _Invalid for another representation."""
        vr = dictionary_VR(tag)
        if vr in TEXTS:
            values: list[object] = [*self._texts(header, tag, vr)]
        elif vr in NUMBERS:
            values = [*self._numbers(header, tag, vr)]
        elif vr == "SQ" and header[tag].VR == "SQ" and depth:
            values = [*self._items(header, tag, depth)]
        else:
            raise _Invalid
        if vr != "SQ" and len(values) > 1 and dictionary_VM(tag) == "1":
            self.spoilt.add(tag)
            return None
        if not values:
            return None
        return DataElement(tag, vr, values if vr == "SQ" or len(values) > 1 else values[0])

    def _texts(self, header: Dataset, tag: BaseTag, vr: str) -> Iterator[str]:
        for decoded in _decoded_texts(header.get_item(tag), self._encodings):
            if decoded is None:
                self.spoilt.add(tag)
                continue
            parts = [decoded.text] if vr in LINES else decoded.text.split("\\")
            if len(parts) > MAX_VALUES:
                raise _Invalid
            for part in parts:
                value = part.rstrip(" ") if vr in LINES else part.strip(" ")
                valid = fitted(vr, value) if value else ""
                if valid and may_stand_in(keyword_for_tag(tag), valid):
                    yield valid
                elif valid != "":
                    self.spoilt.add(tag)
            if decoded.assumed:
                self.assumed.add(tag)

    def _numbers(self, header: Dataset, tag: BaseTag, vr: str) -> Iterator[int | float]:
        element = header[tag]
        for value in element.value if element.VM > 1 else [] if element.is_empty else [element.value]:
            validate_value(vr, value, config.RAISE)
            if vr == element.VR and math.isfinite(value) and may_stand_in(keyword_for_tag(tag), value):
                yield value
            else:
                self.spoilt.add(tag)

    def _items(self, header: Dataset, tag: BaseTag, depth: int) -> Iterator[Dataset]:
        """The items that are valid as a whole: half a code is another code."""
        if len(header[tag].value) > MAX_VALUES:
            raise _Invalid
        for item in header[tag].value:
            try:
                yield self._item(item, tag, depth)
            # As above.
            except Exception:
                self.spoilt.add(tag)

    def _item(self, item: Dataset, sequence: BaseTag, depth: int) -> Dataset:
        """What is not empty of an item; raises _Invalid for one that loses a value or says nothing."""
        reader, taken = _Reader(_encodings(item, self._encodings)), Dataset()
        for tag in sorted(item.keys()):
            if tag == CHARACTER_SET or tag.element == GROUP_LENGTH or not dictionary_has_tag(tag):
                continue
            element = reader.element(item, tag, depth - 1)
            if tag in reader.spoilt:
                raise _Invalid
            if element is not None:
                taken.add(element)
        is_code = keyword_for_tag(sequence).endswith("CodeSequence")
        if not taken or (is_code and not ("CodeMeaning" in taken and any(word in taken for word in CODE_VALUES))):
            raise _Invalid
        if reader.assumed:
            self.assumed.add(sequence)
        return taken


def _encodings(header: Dataset, inherited: Sequence[str]) -> Sequence[str]:
    """Of a data set, or of an item that may have its own."""
    if CHARACTER_SET not in header:
        return inherited
    try:
        return encodings_of(header[CHARACTER_SET].value)
    # As above.
    except Exception:
        return [default_encoding]


def _decoded_texts(element: RawDataElement | DataElement, encodings: Sequence[str]) -> Iterator[Decoded | None]:
    """The texts of an element: one, several values in it as they stand, where it was just read from a file."""
    if element.VR == "SQ":
        raise _Invalid
    if isinstance(element, RawDataElement):
        yield decode_text(element.value or b"", encodings)
        return
    for value in element.value if isinstance(element.value, MultiValue | list) else [element.value]:
        if isinstance(value, bytes):
            yield decode_text(value, encodings)
        else:
            yield Decoded("" if value is None else str(value).rstrip("\0 "), assumed=False)
