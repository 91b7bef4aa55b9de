"""The nodules that a report names. Every sentence here was written for this test; none is of a data set."""

from __future__ import annotations

import pytest

from app.text.reader import ReportReader
from app.text.statements import Mention


def named(text: str) -> tuple[Mention, ...]:
    return ReportReader().read(text).mentions


@pytest.mark.parametrize(
    "text",
    [
        "An 8 mm ground-glass nodule lies in the right upper lobe.",
        "There is a ground-glass nodule in the right upper lobe. It measures 8 mm.",
        "右肺上葉に8mmのすりガラス結節を認めます。",
        "右上葉にすりガラス結節を認めます。径は8mmです。",
        "右肺上叶见8mm磨玻璃结节。",
        "右肺上叶磨玻璃结节。其大小约8mm×5mm。",
    ],
)
def test_what_a_sentence_says_is_of_its_nodule(text: str) -> None:
    (mention,) = named(text)
    assert (mention.term, mention.size_mm) == ("nodule", 8.0)
    assert (mention.lobes, mention.sides) == (("right_upper",), ("right",))
    assert mention.attenuations == ("ground_glass",)
    assert (mention.negated, mention.uncertain, mention.several) == (False, False, False)


def test_each_of_two_nodules_has_its_own() -> None:
    one, other = named("A 6 mm nodule in the left lower lobe and a mass of 4 cm in the right middle lobe.")
    assert (one.term, one.size_mm, one.lobes) == ("nodule", 6.0, ("left_lower",))
    assert (other.term, other.size_mm, other.lobes) == ("mass", 40.0, ("right_middle",))


def test_a_node_of_lymph_and_a_tumour_of_the_liver_are_no_nodules_of_the_lung() -> None:
    assert named("A lymph node of 14 mm. A liver mass of 3 cm.") == ()


def test_a_size_after_another_finding_is_not_the_nodules() -> None:
    (mention,) = named("A nodule in the left upper lobe. The lymph node measures 14 mm.")
    assert mention.size_mm is None


@pytest.mark.parametrize(
    ("text", "several"),
    [
        ("Nodules in both lungs.", True),
        ("Multiple small nodules.", True),
        ("A mass in the left lung.", False),
        ("Masses in the left lung.", True),
        ("両肺に多発結節があります。", True),
        ("右肺に結節があります。", False),
        ("两肺多发结节。", True),
        ("右肺一枚结节。", False),
    ],
)
def test_plural_words_name_several(text: str, several: bool) -> None:
    (mention,) = named(text)
    assert mention.several is several


def test_a_denied_nodule_is_named_as_denied() -> None:
    (mention,) = named("No nodule in the right lung.")
    assert (mention.negated, mention.sides) == (True, ("right",))
