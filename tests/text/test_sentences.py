"""Where sentences begin and end. No sentence here is of a data set."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.text.sentences import MAX_LENGTH, sentences_of

TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=200) | st.text(
    "ab.1 \n。、．nodule8m:-*\r", max_size=120
)


def divided(text: str) -> list[str]:
    return [text[span.start : span.end] for span in sentences_of(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A nodule. It is small.", ["A nodule.", "It is small."]),
        ("A nodule of 1.2 cm. Dr. Who agrees.", ["A nodule of 1.2 cm.", "Dr. Who agrees."]),
        ("It measures 9 mm. No effusion", ["It measures 9 mm.", "No effusion"]),
        ("Seen at approx. 3 cm from it, e.g. here.", ["Seen at approx. 3 cm from it, e.g. here."]),
        ("No mass\nNo effusion", ["No mass", "No effusion"]),
        ("A mass in the right\nlung is seen.", ["A mass in the right\nlung is seen."]),
        ("FINDINGS:\n1. A nodule.\n2) Two cysts.\n- A scar", ["FINDINGS:", "A nodule.", "Two cysts.", "A scar"]),
        ("Is it new? Yes! It is.", ["Is it new?", "Yes!", "It is."]),
        ("右肺に結節。胸水なし。", ["右肺に結節。", "胸水なし。"]),
        ("右肺に結節を認めま\nす。\n胸水なし。", ["右肺に結節を認めま\nす。", "胸水なし。"]),
        ("右肺结节\n左肺正常", ["右肺结节", "左肺正常"]),
        ("径１．５ｃｍの結節．胸水なし．", ["径１．５ｃｍの結節．", "胸水なし．"]),
        ("\ufeffA nodule.\r\n\r\nNo mass.", ["A nodule.", "No mass."]),
        ("", []),
        (" \n\t ", []),
    ],
)
def test_a_text_is_divided_where_a_reader_would(text: str, expected: list[str]) -> None:
    assert divided(text) == expected


@given(TEXTS)
def test_sentences_are_in_order_apart_and_hold_all_letters(text: str) -> None:
    spans = sentences_of(text)
    assert all(one.end <= other.start for one, other in pairwise(spans))
    assert all(0 <= span.start < span.end <= len(text) for span in spans)
    inside = "".join(text[span.start : span.end] for span in spans)
    assert [c for c in inside if c.isalpha()] == [c for c in text if c.isalpha()]


def test_what_has_no_marks_is_cut() -> None:
    spans = sentences_of("nodule " * 1000)
    assert len(spans) >= 7
    assert max(span.end - span.start for span in spans) <= MAX_LENGTH
