"""Odd values in the header of a source: none reaches a result, and none keeps a result from being written."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Final

import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.inference.bundle import Bundle
from app.reports.dicom import WRITERS, to_bytes, write_files, write_results
from app.reports.fhir import write_bundle
from app.reports.source import NEEDS, TAKEN_OVER, SourceHeader
from tests.reports.cases import draw_report, slice_report
from tests.reports.odd_headers import (
    AT_THE_DOOR,
    FIELDS,
    KINDS,
    VALID,
    check_every_rendering,
    check_values,
    judged,
    plain_slice,
    replaced,
    spoilt,
)

PLAIN: Final = plain_slice()


def taken_over(data: bytes) -> SourceHeader:
    return SourceHeader.of(pydicom.dcmread(BytesIO(data), stop_before_pixels=True))


def test_the_sweep_is_as_wide_as_it_says() -> None:
    assert len(FIELDS) + len(AT_THE_DOOR) >= 42
    assert len(KINDS) >= 23
    assert {*taken_over(PLAIN).dataset.dir()} >= {*VALID}
    assert not taken_over(PLAIN).left_out


@pytest.mark.parametrize("shift", range(len(KINDS)))
def test_every_field_with_every_odd_value_in_every_rendering(
    shift: int, bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    """Each file has an odd value in every field; in all of them every field has had every value."""
    values = {keyword: KINDS[(n + shift) % len(KINDS)] for n, keyword in enumerate(FIELDS)}
    report = judged(spoilt(PLAIN, values), bundle)
    assert report is not None
    assert len(check_every_rendering(report)) >= 2
    assert not caplog.text


@pytest.mark.parametrize("keyword", AT_THE_DOOR)
def test_what_is_read_is_rendered(keyword: str, bundle: Bundle) -> None:
    for kind in KINDS:
        report = judged(spoilt(PLAIN, {keyword: kind}), bundle)
        if report is not None:
            check_every_rendering(report)


def test_an_odd_value_costs_no_other() -> None:
    whole = taken_over(PLAIN)
    for n, keyword in enumerate(FIELDS):
        for kind in (*KINDS, *KINDS)[n % 8 : len(KINDS) : 8]:
            taken = taken_over(spoilt(PLAIN, {keyword: kind}))
            others = {keyword, *(word for word, needed in NEEDS.items() if keyword in needed)}
            assert {*taken.left_out} <= others
            for other in {*TAKEN_OVER} - others:
                assert taken.dataset.get(other) == whole.dataset.get(other)


@given(st.dictionaries(st.sampled_from(FIELDS), st.binary(max_size=80), min_size=1, max_size=8))
@settings(
    derandomize=True, deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_bytes_get_an_invalid_value_through(values: dict[str, bytes]) -> None:
    data = PLAIN
    for keyword, value in values.items():
        data = replaced(data, keyword, value)
    taken = taken_over(data)
    check_values(taken.dataset)
    assert {*taken.dataset.dir()} <= {*TAKEN_OVER}


NAMES: Final = {  # declared, written in, name, read as
    "right": ("ISO_IR 192", "utf-8", "Müller^Łukasz=王^小東", "Müller^Łukasz=王^小東"),
    "misspelt": ("ISO-IR 100", "latin-1", "Buc^Jérôme", "Buc^Jérôme"),
    "by another's name": ("UTF-8", "utf-8", "王^小東", "王^小東"),
    "GBK as UTF-8": ("ISO_IR 192", "gbk", "测^试", "测^试"),
    "GBK, rare characters": ("ISO_IR 192", "gbk", "朱^镕基", "朱^镕基"),
    "GB18030 with a backslash in it": ("GB18030", "gb18030", "誠^羅", "誠^羅"),
    "GBK as nothing": ("", "gbk", "测^试", "测^试"),
    "UTF-8 as nothing": ("", "utf-8", "测^试", "测^试"),
    "Latin-1 as nothing": ("", "latin-1", "Müller^Zoë", "Müller^Zoë"),
    "Latin-1 as UTF-8": ("ISO_IR 192", "latin-1", "Müller^Zoë", ""),
    "GBK as garbage": ("\x01\x02", "gbk", "测^试", "测^试"),
    "ASCII as garbage": ("nonsense", "ascii", "Secret^Name", "Secret^Name"),
    "a codec that is none for text": ("hex", "ascii", "Secret^Name", "Secret^Name"),
    "already damaged": ("ISO_IR 192", "utf-8", "Secret^\ufffd\ufffd", ""),
    "GBK without escapes": ("\\ISO 2022 IR 58", "gb2312", "张^小东", "张^小东"),
}
ESCAPED: Final = {  # PS3.5 annexes H, I and K; the byte of = and of \ within a character
    "ISO 2022 IR 87": (b"Yamada^Hideo=\x1b$B;3ED\x1b(B^\x1b$B=(IW\x1b(B", "Yamada^Hideo=山田^秀夫"),
    "ISO 2022 IR 149": (b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7", "Hong^Gildong=洪^吉洞"),
    "ISO 2022 IR 58": (b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab", "Zhang^XiaoDong=张^小东"),
}


def named(charset: str, raw: bytes) -> bytes:
    """The slice with a name, and a description of the same bytes, under a character set."""
    data = PLAIN
    for keyword, value in (
        ("SpecificCharacterSet", charset.encode()),
        ("PatientName", raw),
        ("StudyDescription", raw),
    ):
        data = replaced(data, keyword, value)
    return data


@pytest.mark.parametrize("case", NAMES)
def test_a_name_is_read_as_it_was_meant_or_left_empty(case: str, bundle: Bundle) -> None:
    charset, encoding, name, wanted = NAMES[case]
    report = judged(named(charset, name.encode(encoding)), bundle)
    assert report is not None
    for content in check_every_rendering(report):
        instance = pydicom.dcmread(BytesIO(content))
        assert str(instance.PatientName) == wanted
        assert instance.get("StudyDescription", "") == wanted
    codes = {note.code for note in report.notes}
    assert ("header_values_left_out" in codes) == (not wanted)


@pytest.mark.parametrize("charset", ESCAPED)
def test_escapes_between_character_sets_are_followed(charset: str, bundle: Bundle) -> None:
    raw, wanted = ESCAPED[charset]
    report = judged(named(f"\\{charset}", raw), bundle)
    assert report is not None
    for content in check_every_rendering(report):
        instance = pydicom.dcmread(BytesIO(content))
        assert str(instance.PatientName) == wanted
        assert instance.StudyDescription == wanted


def test_what_stands_alone_is_left_out_with_what_it_needs() -> None:
    """Neither may stand without the other (PS3.3 C.7.1.1): a role of nobody, a removed identity without the method."""
    data = replaced(replaced(PLAIN, "ResponsiblePerson", b"A\nB"), "PatientIdentityRemoved", b"YES")
    data = replaced(replaced(data, "DeidentificationMethod", b"x" * 80), "DeidentificationMethodCodeSequence", b"")
    taken = taken_over(data)
    assert {*taken.left_out} == {
        *("ResponsiblePerson", "ResponsiblePersonRole", "DeidentificationMethod", "PatientIdentityRemoved")
    }


def test_uids_whose_numbers_begin_with_zero_are_let_pass(bundle: Bundle) -> None:
    uid = "1.2.392.200036.0012.345"
    report = judged(replaced(PLAIN, "StudyInstanceUID", uid.encode()), bundle)
    assert report is not None
    assert {o.StudyInstanceUID for o in write_results(report, draw_report)} == {uid}


def test_what_was_left_out_is_said_without_its_value(bundle: Bundle) -> None:
    report = judged(replaced(replaced(PLAIN, "StudyDate", b"20230229"), "PatientID", b"S\x01ECRET"), bundle)
    assert report is not None
    (note,) = (note for note in report.notes if note.code == "header_values_left_out")
    assert note.message.endswith("in: PatientID, StudyDate.")
    structured, *_ = write_results(report, draw_report)
    assert note.message.encode() in to_bytes(structured)
    assert note.message in json.dumps(write_bundle(report))
    assert (structured.StudyDate, structured.PatientID) == (None, None)


def test_one_kind_that_cannot_be_written_costs_only_itself(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(WRITERS, "sr", lambda *_: 1 / 0)
    report, failed = slice_report("normal", bundle), []
    files = write_files(report, draw_report, lambda kind, error: failed.append((kind, type(error))))
    assert [instance.Modality for instance, _ in files] == ["KO", "OT", "OT", "SEG"]
    assert failed == [("sr", ZeroDivisionError)]
