"""What a value of each representation may be, and text in whatever character set."""

from __future__ import annotations

import re
from typing import Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydicom import config
from pydicom.charset import python_encoding
from pydicom.valuerep import validate_value

from app.imaging.characters import decode_text, encodings_of
from app.imaging.header import quiet_pydicom
from app.imaging.values import TEXTS, fitted, is_uid, is_valid

NO_TEXT: Final = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffd-\uffff]")
bounded = settings(derandomize=True, deadline=None, max_examples=300)
VALUES: Final = st.text() | st.from_regex(r"[-+0-9.:eE^=\\\\ ADMY]{0,20}", fullmatch=True)


@pytest.mark.parametrize(
    ("vr", "valid", "invalid"),
    [
        ("DA", ["20240229", "19000101"], ["20230229", "00000000", "20240231", "2024", "20240101-20240102", "٢٠٢٤٠١٠١"]),
        ("TM", ["12", "1230", "123059.123456"], ["24", "12:30", "10-12", "1260", "١٢"]),
        ("DT", ["2024", "20240229123000+0100"], ["20230229", "20241301", "noon"]),
        ("IS", ["-1", "2147483647"], ["2147483648", "1.5", "inf", "1e3", "9" * 12, "2,5"]),
        ("DS", ["-1.5e-3", "0"], ["inf", "nan", "1e400", "2,5", "1" * 17]),
        ("AS", ["042Y"], ["42Y", "042y", "042"]),
        ("CS", ["CHEST_1 A"], ["chest", "A" * 17, "ÄRZTE"]),
        ("AE", ["A-1"], ["A" * 17, "Ä", "A\tB"]),
        ("LO", ["测" * 64, "a;<b>"], ["测" * 65, "a\nb", "a\x00b", "\ufffd", "\x85"]),
        ("LT", ["a\r\nb\\c", "a" * 10240], ["a" * 10241, "a\x0bb"]),
        ("PN", ["A^B^C^D^E=F=G"], ["A^B^C^D^E^F", "A=B=C=D", "A" * 65, "A\nB"]),
        (
            "UI",
            ["1.2.3", "1.2.0003", "2.25." + "9" * 39],
            ["1..2", "1.2.", ".1", "01.2", "1.2_3", "1." + "2" * 63, "１.２"],
        ),
    ],
)
def test_validity(vr: str, valid: list[str], invalid: list[str]) -> None:
    assert [value for value in valid if not is_valid(vr, value)] == []
    assert [value for value in invalid if is_valid(vr, value)] == []


def test_empty_components_at_the_end_of_a_name_are_left_out_where_there_are_too_many() -> None:
    assert fitted("PN", "A^B^^^") == "A^B^^^"
    assert fitted("PN", "A^B^^^^^^=C^^^^^^") == "A^B=C"
    assert fitted("PN", "A^B^C^D^E^F") is None


@bounded
@given(st.sampled_from(sorted(TEXTS)), VALUES)
@example("DS", "1" + "0" * 400)
@example("IS", "9" * 5000)
def test_what_is_let_pass_is_valid_for_pydicom(vr: str, value: str) -> None:
    fit = fitted(vr, value)
    if fit is not None:
        assert not NO_TEXT.search(fit)
        if vr != "UI":
            validate_value(vr, fit, config.RAISE)


@bounded
@given(st.text())
def test_a_uid_is_digits_and_dots(text: str) -> None:
    assert not is_uid(text) or re.fullmatch("[0-9]+([.][0-9]+)*", text, re.ASCII)


@bounded
@given(st.binary(), st.lists(st.sampled_from(sorted(python_encoding)) | st.text(), max_size=3))
@example(b"A\x1b$)A\xff", ["", "ISO 2022 IR 58"])
@example(b"\x1b$B\x1b", ["", "ISO 2022 IR 87"])
def test_text_in_any_character_set_is_text_or_nothing(raw: bytes, terms: list[str]) -> None:
    quiet_pydicom()
    decoded = decode_text(raw, encodings_of(terms))
    assert decoded is None or not NO_TEXT.search(decoded.text)


@bounded
@given(st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=1))
def test_plain_text_is_the_same_in_every_character_set(text: str) -> None:
    for term in python_encoding:
        decoded = decode_text(text.encode("ascii"), encodings_of(term))
        assert decoded is not None
        assert (decoded.text, decoded.assumed) == (text.rstrip(" "), False)


@pytest.mark.parametrize("term", ["", "ISO_IR 192"])
def test_no_character_without_a_meaning_is_made_of_a_name_in_another_set(term: str) -> None:
    assert decode_text("王小明^測試".encode("big5"), encodings_of(term)) is None
    assert decode_text("張^誠".encode("gbk"), encodings_of(term)) == ("張^誠", True)


def test_the_mark_before_a_text_is_no_part_of_it() -> None:
    assert decode_text(b"\xef\xbb\xbfM\xc3\xbcller", encodings_of("ISO_IR 192")) == ("Müller", False)
