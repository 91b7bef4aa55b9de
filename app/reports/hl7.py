"""Results as HL7 v2.5.1 messages ORU^R01, in UTF-8 (MSH-18), with the delimiters that the standard recommends.

Chapter 2 (fields, escapes), 3 (PID) and 7 (OBR, OBX) of the standard. A result is preliminary, as it is in FHIR: no
person has looked at it.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pydicom.sr.coding import Code
from pydicom.valuerep import PersonName

from app import __version__
from app.inference.finding_words import ATTENUATION_WORDS, COMMA, position_words
from app.inference.prediction import Finding
from app.inference.reason_words import reason_words
from app.inference.vocabulary import DECISION_WORDS, Language
from app.reports import codes
from app.reports.figures import percent, significant
from app.reports.page_words import PAGE_WORDS
from app.reports.report import DISCLAIMER, MANUFACTURER, Report
from app.reports.source import SourceHeader

# Chapter 2.7; a line break is none of these, and in the middle of a message would begin another segment.
ESCAPES: Final = str.maketrans({"\\": r"\E" "\\", "|": r"\F" "\\", "^": r"\S" "\\", "&": r"\T" "\\", "~": r"\R" "\\"})
LINE_BREAK: Final = r"\.br" "\\"
NOT_WRITTEN: Final = ("Cc", "Cs")  # control characters, and halves of a character
CONTROL_ID_CHARACTERS: Final = 20  # the most of MSH-10
STUDY_UID: Final = Code("110180", "DCM", "Study Instance UID")
SERIES_UID: Final = Code("112002", "DCM", "Series Instance UID")
LINK: Final = Code("LINK", "L", "Images")  # L: a code of our own (table 0396)
PRELIMINARY, NOT_OBTAINED = "P", "X"  # tables 0085 and 0123


@dataclass(frozen=True, slots=True)
class MessageOptions:
    """Who sends to whom, as the receiver knows them, in which language, and an address of the images in which
    `{study}`, `{series}` and `{accession}` are replaced."""

    sending_facility: str = ""
    receiving_application: str = ""
    receiving_facility: str = ""
    language: Language = "en"
    link: str | None = None


@dataclass(frozen=True, slots=True)
class Subject:
    """What a message is about: a valid header of the series, its UIDs, when the result was written, and whether
    messages may be `dated`."""

    header: SourceHeader
    study_uid: str
    series_uid: str
    written: datetime
    dated: bool = True

    def text(self, keyword: str) -> str:
        """A value of the header as text; empty where it has none."""
        return str(self.header.dataset.get(keyword, ""))


Row = tuple[str, Code, str, str]  # type, what it is, value and unit as they stand in the message


def write_oru(report: Report, uid: str, options: MessageOptions) -> bytes:
    """The message with the result of one series: decision, probability, findings in words, caveats, the statement that
    this is research. `uid` is that of the result: its message has one control id, however often it is sent."""
    source = report.sources[0]
    study, series = source.study_instance_uid or "", source.series_instance_uid or ""
    subject = Subject(report.source_headers[0], study, series, report.written)
    return _message(subject, uid, options, [*_result_rows(report, options.language)])


def write_oru_unprocessed(subject: Subject, uid: str, options: MessageOptions, code: str, words: str) -> bytes:
    """The message that a series was not judged, for the reason with this code and in these words."""
    reason = f"Not processed, because: {words} ({code})."
    rows = [_text(codes.COMMENT, reason), _text(codes.COMMENT, DISCLAIMER)]
    return _message(subject, uid, options, rows, judged=False)


def _message(subject: Subject, uid: str, options: MessageOptions, rows: list[Row], *, judged: bool = True) -> bytes:
    rows += [_text(STUDY_UID, subject.study_uid), _text(SERIES_UID, subject.series_uid)]
    if options.link is not None:
        rows.append(_text(LINK, _link(options.link, subject)))
    segments = [_header(subject, uid, options), _patient(subject), _request(subject)]
    if not judged:
        segments.append(_observation(1, ("NM", codes.PROBABILITY, "", ""), status=NOT_OBTAINED))
    segments += [_observation(number, row) for number, row in enumerate(rows, start=len(segments) - 2)]
    return "".join(f"{segment}\r" for segment in segments).encode()


def _header(subject: Subject, uid: str, options: MessageOptions) -> str:
    names = {
        3: components(MANUFACTURER.upper()),
        4: components(options.sending_facility),
        5: components(options.receiving_application),
        6: components(options.receiving_facility),
    }
    control = hashlib.sha256(uid.encode()).hexdigest()[:CONTROL_ID_CHARACTERS]
    rest = {9: "ORU^R01^ORU_R01", 10: control, 11: "P", 12: "2.5.1", 18: "UNICODE UTF-8"}
    # The delimiter after MSH is its first field.
    return segment("MSH", {2: r"^~\&", **names, 7: _time(subject.written), **rest}, first=2)


def _patient(subject: Subject) -> str:
    name = subject.header.dataset.get("PatientName", "")
    return segment(
        "PID",
        {
            1: "1",
            3: components(subject.text("PatientID"), "", "", subject.text("IssuerOfPatientID")),
            5: "~".join(_names(name)) if isinstance(name, PersonName) else "",
            7: escaped(subject.text("PatientBirthDate")),
            8: escaped(subject.text("PatientSex")),
        },
    )


def _names(name: PersonName) -> Iterator[str]:
    """The groups of a DICOM name (PS3.5 6.2) as XPN, with the kind of writing of each (table 0465)."""
    for group, writing in ((name.alphabetic, "A"), (name.ideographic, "I"), (name.phonetic, "P")):
        if group:
            family, given, middle, prefix, suffix = (*group.split("^"), "", "", "", "", "")[:5]
            yield components(family, given, middle, suffix, prefix, "", "L", writing)


def _request(subject: Subject) -> str:
    accession = subject.text("AccessionNumber")
    return segment(
        "OBR",
        {
            1: "1",
            3: components(accession or subject.study_uid),
            4: coded(codes.CT_CHEST),
            7: escaped(subject.text("StudyDate") + subject.text("StudyTime")[:6] * bool(subject.text("StudyDate"))),
            18: escaped(accession),
            20: escaped(subject.study_uid),
            22: _time(subject.written),
            24: "CT",
            25: PRELIMINARY,
        },
    )


def _result_rows(report: Report, language: Language) -> Iterator[Row]:
    prediction = report.prediction
    decision = codes.decision_code(prediction.decision, report.bundle.manifest)
    own = components(prediction.decision, DECISION_WORDS[prediction.decision][language], "L")
    yield "CWE", codes.CONCLUSION, f"{coded(decision)}^{own}", ""
    if prediction.probability is not None:
        yield "NM", codes.PROBABILITY, f"{percent(prediction.probability):g}", components("%", "percent", "UCUM")
    yield _text(codes.FINDING, PAGE_WORDS["counted"][language].format(all=len(report.findings)))
    for finding in report.findings:
        yield _text(codes.FINDING, _finding_words(report, finding, language))
    for reason in prediction.reasons:
        yield _text(codes.COMMENT, reason_words(reason, language))
    for note in report.notes:
        if note.severity != "info" and note.code not in prediction.reasons:
            yield _text(codes.COMMENT, note.message if language == "en" else reason_words(note.code, language))
    yield _text(codes.COMMENT, f"{MANUFACTURER} {__version__}, {report.model_line}")
    yield _text(codes.COMMENT, PAGE_WORDS["disclaimer"][language])


def _finding_words(report: Report, finding: Finding, language: Language) -> str:
    """Which finding, where it lies, how large and dense it is, and its probability."""
    parts = [position_words(finding, report.prediction, language)]
    if finding.size is not None:
        axes = finding.size.axes
        parts.append(f"{significant(axes.long_mm):g} x {significant(axes.short_mm):g} mm")
        parts.append(ATTENUATION_WORDS[finding.size.attenuation.classes[0]][language])
    if finding.probability is not None and report.prediction.decision != "rejected":
        parts.append(f"{PAGE_WORDS['of_malignancy'][language]} {percent(finding.probability):g} %")
    return f"{PAGE_WORDS['finding'][language]} {finding.id}: {COMMA[language].join(parts)}"


def _text(concept: Code, text: str) -> Row:
    return "TX", concept, escaped(text), ""


def _observation(number: int, row: Row, status: str = PRELIMINARY) -> str:
    kind, concept, value, unit = row
    return segment("OBX", {1: str(number), 2: kind, 3: coded(concept), 4: str(number), 5: value, 6: unit, 11: status})


def _link(pattern: str, subject: Subject) -> str:
    values = {"study": subject.study_uid, "series": subject.series_uid, "accession": subject.text("AccessionNumber")}
    for name, value in values.items():
        pattern = pattern.replace(f"{{{name}}}", value)
    return pattern


def _time(moment: datetime) -> str:
    return f"{moment:%Y%m%d%H%M%S%z}"


def segment(name: str, fields: Mapping[int, str], first: int = 1) -> str:
    """A segment from its fields, as they stand in the message, by their numbers."""
    return "|".join([name, *(fields.get(number, "") for number in range(first, max(fields) + 1))])


def coded(code: Code) -> str:
    """A coded element."""
    return components(code.value, code.meaning, code.scheme_designator)


def components(*parts: str) -> str:
    """The components of a field, without empty ones at its end."""
    return "^".join(map(escaped, parts)).rstrip("^")


def escaped(text: str) -> str:
    """A text as it stands in a message: delimiters and line breaks escaped, other control characters left out."""
    lines = LINE_BREAK.join(text.translate(ESCAPES).splitlines())
    return "".join(each for each in lines if unicodedata.category(each) not in NOT_WRITTEN)
