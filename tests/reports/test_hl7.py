"""ORU^R01 as the package hl7 reads it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import hl7
import pytest

from app.inference.bundle import Bundle
from app.inference.vocabulary import Decision, Language
from app.reports.hl7 import MessageOptions, Subject, escaped, write_oru, write_oru_unprocessed
from app.reports.report import Report, ResultOptions
from app.reports.source import SourceHeader
from phantoms.slices import SECRET_ID, SECRET_NAME, derived_uid
from tests.reports.cases import DECISIONS, WRITTEN, header, series_files, series_report, slice_file

ODD = r"a|b^c~d\e&f"
OPTIONS = MessageOptions("RADIOLOGY", "RIS", "HOSPITAL", link="https://viewer.example/?study={study}&n={accession}")


def parsed(content: bytes) -> hl7.Message:
    assert content.endswith(b"\r")
    return hl7.parse(content.decode("utf-8"))


def rows(message: hl7.Message, concept: str) -> list[str]:
    """The values of the observations of a concept, unescaped."""
    found = [segment for segment in message.segments("OBX") if str(segment[3][0][0]) == concept]
    return [message.unescape(str(segment[5])) for segment in found]


def report(bundle: Bundle, decision: Decision = "cancer_suspected", **attributes: Any) -> Report:
    return series_report(decision, bundle, series_files(**attributes))


def test_who_sends_what_to_whom(bundle: Bundle) -> None:
    message = parsed(write_oru(report(bundle), "2.25.1", OPTIONS))
    header = message.segment("MSH")
    assert [str(header[n]) for n in (3, 4, 5, 6)] == ["LUNGSCOPE", "RADIOLOGY", "RIS", "HOSPITAL"]
    assert [str(header[n]) for n in (7, 9, 11, 12, 18)] == [
        "20260314150926+0800",
        "ORU^R01^ORU_R01",
        "P",
        "2.5.1",
        "UNICODE UTF-8",
    ]
    assert len(str(header[10])) == 20
    assert [str(segment[0]) for segment in message][:3] == ["MSH", "PID", "OBR"]


def test_patient_and_study_are_those_of_the_source(bundle: Bundle) -> None:
    known: dict[str, Any] = {
        "AccessionNumber": "A-17",
        "IssuerOfPatientID": "HIS",
        "PatientBirthDate": "19500102",
        "PatientSex": "F",
    }
    message = parsed(write_oru(report(bundle, StudyDate="20260102", StudyTime="030405.6", **known), "2.25.1", OPTIONS))
    patient, request = message.segment("PID"), message.segment("OBR")
    family, given = SECRET_NAME.split("^")
    assert str(patient[3]) == f"{SECRET_ID}^^^HIS"
    assert str(patient[5]) == f"{family}^{given}^^^^^L^A"
    assert [str(patient[n]) for n in (7, 8)] == ["19500102", "F"]
    assert [str(request[n]) for n in (3, 4, 7)] == ["A-17", "24627-2^CT Chest^LN", "20260102030405"]
    assert [str(request[n]) for n in (18, 20, 24, 25)] == ["A-17", derived_uid("study"), "CT", "P"]
    assert rows(message, "LINK") == [f"https://viewer.example/?study={derived_uid('study')}&n=A-17"]
    assert rows(message, "110180") == [derived_uid("study")]


def test_names_of_several_writings_survive(bundle: Bundle) -> None:
    name = "Wang^XiaoDong^^Dr=王^小东="
    message = parsed(write_oru(report(bundle, SpecificCharacterSet="ISO_IR 192", PatientName=name), "2.25.1", OPTIONS))
    assert str(message.segment("PID")[5]) == "Wang^XiaoDong^^^Dr^^L^A~王^小东^^^^^L^I"


def test_delimiters_and_line_breaks_survive_and_add_no_segment(bundle: Bundle) -> None:
    plain = parsed(write_oru(report(bundle, AccessionNumber="A17"), "2.25.1", OPTIONS))
    odd = parsed(write_oru(report(bundle, AccessionNumber="A|^~&17"), "2.25.1", OPTIONS))
    assert odd.unescape(str(odd.segment("OBR")[18])) == "A|^~&17"
    assert len(odd) == len(plain)
    assert odd.unescape(escaped(ODD)) == ODD
    assert odd.unescape(escaped("肺\n结节\r\n\x0b\x1c|")) == "肺\r结节\r\r\r|"
    assert not set(escaped("".join(map(chr, range(32))))) & set(map(chr, range(32)))


@pytest.mark.parametrize("decision", DECISIONS)
@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_result_says_decision_probability_findings_and_that_it_is_research(
    bundle: Bundle, decision: Decision, language: Language
) -> None:
    options = replace(OPTIONS, language=language)
    message = parsed(write_oru(report(bundle, decision), "2.25.1", options))
    (conclusion,) = rows(message, "121077")
    words = {"en": "Suspicious for lung cancer", "zh": "肺癌(疑似)"}
    assert f"^{decision}^" in conclusion
    assert (words[language] in conclusion) == (decision == "cancer_suspected")
    shown = {"cancer_suspected": ["87.4"], "indeterminate": ["30.6"]}
    assert rows(message, "111047") == shown.get(decision, [])
    findings = rows(message, "121071")
    assert len(findings) == (1 if decision == "normal" else 4)
    assert any({"en": "Research use only", "zh": "仅供研究使用"}[language] in each for each in rows(message, "121106"))
    numbers = [str(segment[1]) for segment in message.segments("OBX")]
    assert numbers == [str(n) for n in range(1, len(numbers) + 1)]
    assert {str(segment[11]) for segment in message.segments("OBX")} == {"P"}


def test_one_result_has_one_control_id_and_another_another(bundle: Bundle) -> None:
    given = report(bundle)
    first, again, other = (parsed(write_oru(given, uid, OPTIONS)) for uid in ("2.25.1", "2.25.1", "2.25.2"))
    assert str(first) == str(again)
    assert str(first.segment("MSH")[10]) != str(other.segment("MSH")[10])


def test_a_series_that_was_not_judged_has_no_probability_and_a_reason() -> None:
    subject = Subject(SourceHeader.of(header(slice_file())), "1.2.3", "1.2.3.4", WRITTEN)
    message = parsed(write_oru_unprocessed(subject, "2.25.1", OPTIONS, "gantry_tilt", "found a tilt; expected none"))
    not_obtained, *others = message.segments("OBX")
    assert (str(not_obtained[3][0][0]), str(not_obtained[5]), str(not_obtained[11])) == ("111047", "", "X")
    assert rows(message, "121106")[0] == "Not processed, because: found a tilt; expected none (gantry_tilt)."
    assert [str(segment[1]) for segment in others] == [str(n) for n in range(2, len(others) + 2)]
    assert (rows(message, "112002"), str(message.segment("OBR")[3])) == (["1.2.3.4"], "1.2.3")


def test_findings_below_a_score_are_not_shown_unless_they_are_suspicious(bundle: Bundle) -> None:
    """Their scores are 2.5, 1.5 and 0.5."""

    def shown(decision: Decision, show_from: float | None) -> Sequence[int]:
        given = replace(report(bundle, decision), options=ResultOptions(show_from=show_from))
        return [finding.id for finding in given.findings]

    assert shown("indeterminate", None) == [1, 2, 3]
    assert shown("indeterminate", 1.5) == [1, 2]
    assert shown("indeterminate", 9.0) == []
    assert shown("cancer_suspected", 9.0) == [1, 2, 3]
