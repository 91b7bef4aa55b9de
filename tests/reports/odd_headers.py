"""Headers with odd values, byte for byte, and what every rendering of a prediction on them must still be."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable, Iterator
from datetime import datetime
from io import BytesIO
from typing import Any, Final

import pydicom
from fhir.resources.R4B.bundle import Bundle as FhirBundle
from pydicom import config
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.valuerep import validate_value

from app.errors import InputError, NoDicomSource
from app.explain.canvas import to_png
from app.explain.overlay import draw
from app.imaging.ct import CTSlice
from app.inference.bundle import Bundle
from app.judgement.answers import json_answer
from app.judgement.judge import Judgement
from app.judgement.parameters import Parameters
from app.reports.dicom import write_files
from app.reports.fhir import write_bundle
from app.reports.report import Report
from app.reports.source import TAKEN_OVER
from phantoms import slices as phantom
from tests.reports.cases import draw_report, slice_report

# What decides whether and how an image is read at all: it may be refused.
AT_THE_DOOR: Final = (
    *("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID", "Modality", "PixelSpacing"),
    *("SliceThickness", "ImageOrientationPatient", "ImagePositionPatient"),
)
FIELDS: Final = (
    *(keyword for keyword in TAKEN_OVER if keyword not in AT_THE_DOOR),
    *("SpecificCharacterSet", "FrameOfReferenceUID", "Manufacturer", "StationName", "SeriesNumber"),
)
ODD: Final = {
    "empty": b"",
    "blanks": b"   ",
    "NUL": b"\0\0\0",
    "NUL within": b"A\0B",
    "control characters": b"A\x01\x07\x1fB",
    "two UIDs": b"1.2.3\\1.2.4",
    "several": b"A\\\\B^C\\D",
    "backslash": b"\\",
    "too long": b"A" * 12_000,
    "zeros": b"00000000",
    "no leap year": b"20230229",
    "no such day": b"20240231",
    "nines": b"99999999",
    "inf": b"inf",
    "nan": b"nan",
    "negative": b"-1",
    "overflow": b"1e400",
    "comma": b"2,5",
    "GBK": "测^试=测".encode("gbk"),
    "Latin-1": "Müller^Zoë".encode("latin-1"),
    "lone surrogate": b"A\xed\xa0\x80B",
    "replacement character": b"A\xef\xbf\xbdB",
    "escapes": b"A\x1b$B;3ED\x1b(B\x1b[31m\x1b",
    "digits": b"9" * 5_000,
    "script": b'\';DROP TABLE a;--<script>alert("1")</script>{"a":[1]}${b}%s',
    "padded": b"  A1  ",
    "lines": b"A\r\nB\n",
    "slashes": b"anon_series/1",
    "carets": b"^^^^^^^^",
    "equals": b"A=B=C=D",
}
OTHER_VR: Final = "another representation"
SEQUENCE: Final = "a sequence"
KINDS: Final = (*ODD, OTHER_VR, SEQUENCE)

LONG: Final = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"})
DISORDER: Final = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffd-\uffff]")
LINES: Final = ("LT", "ST", "UT")
PIXELS: Final = ("PixelData", "FloatPixelData")


def spoilt(data: bytes, values: dict[str, str]) -> bytes:
    """An Explicit VR Little Endian file in which each attribute named has the odd value named."""
    for keyword, kind in values.items():
        data = put(data, keyword, kind)
    return data


def put(data: bytes, keyword: str, kind: str) -> bytes:
    tag = tag_for_keyword(keyword) or 0
    return with_element(data, tag, odd_element(tag, dictionary_VR(tag), kind))


def replaced(data: bytes, keyword: str, value: bytes) -> bytes:
    """The file with the bytes of one value as they are given."""
    tag = tag_for_keyword(keyword) or 0
    return with_element(data, tag, encoded(tag, dictionary_VR(tag), value))


def with_element(data: bytes, tag: int, element: bytes) -> bytes:
    start, end = place(data, tag)
    return data[:start] + element + data[end:]


def place(data: bytes, tag: int) -> tuple[int, int]:
    """Where the element with a tag begins and ends, or would stand."""
    at = 132
    while True:
        group, element, vr, length = struct.unpack_from("<HH2sH", data, at)
        end = at + 8 + length
        if vr.decode("latin-1") in LONG:
            (length,) = struct.unpack_from("<L", data, at + 8)
            end = at + 12 + length
        found = group << 16 | element
        if found >= tag:
            return at, end if found == tag else at
        at = end


def odd_element(tag: int, vr: str, kind: str) -> bytes:
    if kind == OTHER_VR:
        return encoded(tag, "LO" if vr in ("SQ", "US") else "US", b"\x01\x41")
    if kind == SEQUENCE:
        code = encoded(0x00080100, "SH", b"A1")
        return encoded(tag, "SQ", item(encoded(0x00081032, "SQ", item(code)) if vr == "SQ" else code))
    if vr == "SQ":
        elements = [encoded(at, "SH", ODD[kind]) for at in (0x00080100, 0x00080102)]
        return encoded(tag, "SQ", item(b"".join([*elements, encoded(0x00080104, "LO", ODD[kind])])))
    return encoded(tag, vr, ODD[kind])


def item(content: bytes) -> bytes:
    return struct.pack("<HHL", 0xFFFE, 0xE000, len(content)) + content


def encoded(tag: int, vr: str, value: bytes) -> bytes:
    value += (b"\0" if vr == "UI" else b" ") * (len(value) % 2)
    head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr.encode())
    return (
        head + struct.pack("<HL" if vr in LONG else "<H", *((0, len(value)) if vr in LONG else (len(value),))) + value
    )


def judged(data: bytes, bundle: Bundle) -> Report | None:
    """A report on one slice; None where the image is refused, with an error that callers are told of."""
    try:
        return slice_report("cancer_suspected", bundle, data)
    except InputError:
        return None


def raised(kind: str, error: Exception) -> None:
    raise AssertionError(f"{kind} cannot be written") from error


def check_every_rendering(report: Report, failed: Callable[[str, Exception], None] = raised) -> list[bytes]:
    """The DICOM files; raises AssertionError for anything that a reader of one of the renderings would stumble over."""
    prediction = report.prediction
    judgement = Judgement(report.image, Parameters(explain=True), prediction, report.bundle, None, None, {})
    check_text(json.loads(json_answer(judgement, "en", "1")))
    assert to_png(draw(image_of(report), prediction, model=report.model_line, language="en", min_width_px=256))
    bundle = write_bundle(report)
    FhirBundle.model_validate_json(json.dumps(bundle, ensure_ascii=False).encode())
    check_text(bundle)
    try:
        files = [content for _, content in write_files(report, draw_report, failed)]
    except NoDicomSource:
        assert not all(s.study_instance_uid and s.series_instance_uid and s.sop_instance_uid for s in report.sources)
        return []
    assert len(files) >= 2
    for content in files:
        check_values(pydicom.dcmread(BytesIO(content)))
    return files


def image_of(report: Report) -> CTSlice:
    assert isinstance(report.image, CTSlice)
    return report.image


def check_text(value: Any) -> None:
    """No text in JSON values holds what no text holds."""
    for text in strings_in(value):
        assert not DISORDER.search(text), "a character that is none"


def strings_in(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        value = [*value, *value.values()]
    if isinstance(value, list):
        for part in value:
            yield from strings_in(part)
    elif isinstance(value, str):
        yield value


def check_values(instance: Dataset) -> None:
    """Every value of a data set that was read back is one of its representation, in pydicom's strictest reading."""
    for element in instance.iterall():
        if element.VR == "SQ" or element.is_empty or element.keyword in PIXELS:
            continue
        several = element.value if isinstance(element.value, MultiValue | list) else [element.value]
        for value in several:
            plain = str(value) if element.VR in ("DA", "DS", "DT", "IS", "PN", "TM", "UI") else value
            validate_value(element.VR, plain, config.RAISE)
            if element.VR == "DA":
                datetime.strptime(plain, "%Y%m%d")
            if isinstance(plain, str):
                disorder = DISORDER if element.VR in LINES else re.compile(DISORDER.pattern[:-1] + r"\t\n\f\r]")
                assert not disorder.search(plain), f"{element.keyword} holds a character that is none"


def plain_slice() -> bytes:
    """A file with a valid value in nearly every attribute that results take over."""
    hu = phantom.chest(size_px=64, spacing_mm=5.6)
    return phantom.dicom(hu, spacing_mm=2.8, **VALID)


def _code() -> list[Dataset]:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "A1", "99LOCAL", "Something"
    return [code]


VALID_BY_VR: Final[dict[str, Any]] = {
    **dict.fromkeys(("LO", "SH", "LT", "ST", "UT"), "A1"),
    "PN": "Family^Given",
    "DA": "20240229",
    "TM": "235959",
    "AS": "042Y",
    "DS": "1.75",
    "IS": "7",
    "US": 1,
    "SQ": _code(),
}
VALID_CODES: Final = {
    "PatientSex": "F",
    "TypeOfPatientID": "TEXT",
    "QualityControlSubject": "NO",
    "PatientIdentityRemoved": "NO",
    "ResponsiblePersonRole": "PARENT",
    "SmokingStatus": "NO",
    "PatientAlternativeCalendar": "CHINESE",
    "TimezoneOffsetFromUTC": "+0800",
    "BodyPartExamined": "CHEST",
    "BurnedInAnnotation": "NO",
}
VALID: Final[dict[str, Any]] = {
    keyword: VALID_CODES.get(keyword, VALID_BY_VR.get(dictionary_VR(tag_for_keyword(keyword) or 0)))
    for keyword in TAKEN_OVER
    if dictionary_VR(tag_for_keyword(keyword) or 0) != "UI"
}
