"""What rules find, in three languages. Every sentence here was written for this test; none is of a data set."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.text.rules import language_of, statements_of
from app.text.sentences import Span
from app.text.statements import LANGUAGES, Language, Statement


def found(text: str, language: Language | None = None) -> tuple[Statement, ...]:
    return statements_of(text, Span(0, len(text)), language or language_of(text))


def sizes(text: str) -> list[tuple[float, ...]]:
    return [each.mm for each in found(text) if each.kind == "size"]


def values(text: str, kind: str) -> list[str]:
    return [each.value for each in found(text) if each.kind == kind]


def denied(text: str) -> dict[str, bool]:
    return {each.value: each.negated for each in found(text) if each.kind == "finding"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A nodule of 8 mm.", [(8.0,)]),
        ("An 8-mm nodule and a 1.2cm one.", [(8.0,), (12.0,)]),
        ("It measures 1.2 x 0.9 cm.", [(12.0, 9.0)]),
        ("It measures 12 mm × 9 mm × 7 mm.", [(12.0, 9.0, 7.0)]),
        ("Between 5-6 mm in diameter.", [(5.0, 6.0)]),
        ("A lesion of 3,5 cm.", [(35.0,)]),
        ("About .8 cm.", [(8.0,)]),
        ("Slices of 1 mm: 1 mm slices, slice thickness 1.25 mm.", [(1.0,)]),
        ("It lies 2 cm from the carina.", []),
        ("A volume of 300 mm3, 120 mmHg, T1 and 40 mA.", []),
        ("右上葉に長径１２ｍｍの結節。", [(12.0,)]),
        ("30×25mm大の腫瘤と5㎜の結節。", [(30.0, 25.0), (5.0,)]),
        ("スライス厚1mmで撮影。", []),
        ("右肺结节，大小约8mm×6mm。", [(8.0, 6.0)]),
        ("直径约1.2厘米的肿块，另见3毫米结节。", [(12.0,), (3.0,)]),
        ("层厚1mm，结节距胸膜约5mm。", []),
    ],
)
def test_sizes_are_read_in_millimetres(text: str, expected: list[tuple[float, ...]]) -> None:
    assert sizes(text) == expected


@pytest.mark.parametrize(
    ("text", "lobes"),
    [
        ("A nodule in the right upper lobe.", ["right_upper"]),
        ("Nodules in the right upper and middle lobes.", ["right_upper", "right_middle"]),
        ("A mass in the lower lobe of the left lung.", ["left_lower"]),
        ("In the left upper lung lobe and the lower right lobe.", ["left_upper", "right_lower"]),
        ("Nodule, RML; another, LLL.", ["right_middle", "left_lower"]),
        ("A scar in the lingula and the right apex.", ["right_upper", "left_upper"]),
        ("Opacity in the left S6 and right S4.", ["left_lower", "right_middle"]),
        ("Both lower lobes are clear.", ["right_lower", "left_lower"]),
        ("右上葉と左肺S6に結節。", ["right_upper", "left_lower"]),
        ("右中下葉の無気肺、左舌区の結節。", ["right_middle", "right_lower", "left_upper"]),
        ("右肺尖部に腫瘤。", ["right_upper"]),
        ("右肺上叶及左肺下叶结节。", ["right_upper", "left_lower"]),
        ("左上肺结节，右肺中叶条索。", ["left_upper", "right_middle"]),
        ("雙肺下葉纖維化。", ["right_lower", "left_lower"]),
    ],
)
def test_lobes_are_named(text: str, lobes: list[str]) -> None:
    assert sorted(values(text, "lobe")) == sorted(lobes)


@pytest.mark.parametrize(
    ("text", "sides"),
    [
        ("Effusion on the right, scar on the left.", ["right", "left"]),
        ("Bilateral effusions.", ["both"]),
        ("The scar was left unchanged.", []),
        ("右胸水、左無気肺。", ["right", "left"]),
        ("両側に胸水。", ["both"]),
        ("双肺纹理清晰，左侧胸膜增厚。", ["both", "left"]),
    ],
)
def test_sides_are_named(text: str, sides: list[str]) -> None:
    assert values(text, "side") == sides


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("No pulmonary nodule, mass, or effusion.", {"nodule": True, "mass": True, "effusion": True}),
        ("No effusion, but a nodule is seen.", {"effusion": True, "nodule": False}),
        ("No effusion, a 9 mm nodule at the apex.", {"effusion": True, "nodule": False}),
        ("Nodules are not seen.", {"nodule": True}),
        ("The effusion has resolved.", {"effusion": True}),
        ("There is a nodule without calcification.", {"nodule": False}),
        ("No change of the nodule.", {"nodule": False}),
        ("A nodule cannot be ruled out.", {"nodule": False}),
        ("No comparable earlier study of the mass.", {"mass": False}),
        ("Lymph nodes are not enlarged.", {"lymph_node": True}),
        ("胸水は認めません。", {"effusion": True}),
        ("結節や腫瘤は指摘できない。", {"nodule": True, "mass": True}),
        ("右肺に結節を認めますが、胸水はありません。", {"nodule": False, "effusion": True}),
        ("結節に変化はありません。", {"nodule": False}),
        ("結節を認め、胸水なし。", {"nodule": False, "effusion": True}),
        ("腫瘤の内部に石灰化はない。", {"mass": False}),
        ("两肺未见明显结节、肿块及实变。", {"nodule": True, "mass": True, "consolidation": True}),
        ("未见胸腔积液，右肺见结节。", {"effusion": True, "nodule": False}),
        ("结节未见明显变化。", {"nodule": False}),
        ("不除外肿块。", {"mass": False}),
        ("積液已吸收，無結節。", {"effusion": True, "nodule": True}),
    ],
)
def test_what_is_denied_is_not_there(text: str, expected: dict[str, bool]) -> None:
    assert {name: denied(text).get(name) for name in expected} == expected


@pytest.mark.parametrize(
    ("text", "uncertain"),
    [
        ("A possible nodule in the left lung.", True),
        ("A nodule in the left lung is suspected.", True),
        ("A nodule cannot be excluded.", True),
        ("A nodule in the left lung.", False),
        ("No possible nodule.", False),
        ("左肺に結節が疑われます。", True),
        ("左肺に結節を認めます。", False),
        ("左肺可疑结节。", True),
        ("左肺结节可能。", True),
        ("左肺结节。", False),
    ],
)
def test_what_is_doubted_is_left_open(text: str, uncertain: bool) -> None:
    (nodule,) = (each for each in found(text) if each.value == "nodule")
    assert nodule.uncertain is uncertain


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        ("A part-solid nodule and a ground-glass one.", "attenuation", ["part_solid", "ground_glass"]),
        ("A solid nodule without calcification, cavitary.", "attenuation", ["solid", "calcified", "cavitary"]),
        ("A GGN with a solid component.", "attenuation", ["ground_glass", "part_solid"]),
        ("すりガラス結節と部分充実型結節。", "attenuation", ["ground_glass", "part_solid"]),
        ("混合磨玻璃结节，内见钙化。", "attenuation", ["part_solid", "calcified"]),
        ("Follow-up CT in 3 months is recommended.", "recommendation", ["follow_up"]),
        ("We recommend a biopsy.", "recommendation", ["biopsy"]),
        ("PET-CTをお勧めします。", "recommendation", ["pet"]),
        ("経過観察してください。", "recommendation", ["follow_up", "other"]),
        ("建议3个月后复查。", "recommendation", ["follow_up"]),
        ("建议穿刺活检。", "recommendation", ["biopsy"]),
        ("Stage: cT2aN1M0.", "stage", ["T2a", "N1", "M0"]),
        ("T1mi, N0 and M1c.", "stage", ["T1mi", "N0", "M1c"]),
        ("Fracture of the T3 vertebra, T12 and T1-weighted.", "stage", []),
        ("T3N2M0を疑います。", "stage", ["T3", "N2", "M0"]),
        ("考虑T1bN0。", "stage", ["T1b", "N0"]),
    ],
)
def test_attenuations_recommendations_and_stages(text: str, kind: str, expected: list[str]) -> None:
    assert values(text, kind) == expected


@pytest.mark.parametrize(
    ("text", "language"),
    [("A nodule.", "en"), ("右肺に結節。", "ja"), ("右肺结节。", "zh"), ("", "en"), ("右肺結節、GGN。", "zh")],
)
def test_the_script_tells_the_language(text: str, language: Language) -> None:
    assert language_of(text) == language


WORDS = [
    "no ", "nodule ", "8 mm ", "1.2 x 3 cm ", "right upper lobe ", "possible ", "left ", "T2aN0 ", "not seen ", ", ",
    "結節", "胸水", "なし", "認めません", "右上葉", "12ｍｍ", "疑い", "に", "、",
    "结节", "未见", "左肺下叶", "约8毫米", "可能", "建议复查", "，",
]  # fmt: skip
SENTENCES = st.lists(st.sampled_from(WORDS), max_size=20).map("".join) | st.text(max_size=80)


@given(SENTENCES, SENTENCES, st.sampled_from(LANGUAGES))
def test_spans_hold_the_words_that_state_it(before: str, sentence: str, language: Language) -> None:
    text = before + sentence
    here = statements_of(text, Span(len(before), len(text)), language)
    alone = statements_of(sentence, Span(0, len(sentence)), language)
    assert all(one.span.start <= other.span.start for one, other in pairwise(here))
    for moved, each in zip(here, alone, strict=True):
        words = text[moved.span.start : moved.span.end]
        assert len(before) <= moved.span.start < moved.span.end <= len(text)
        assert (moved.kind, moved.value, words) == (each.kind, each.value, sentence[each.span.start : each.span.end])


@given(SENTENCES, st.sampled_from(LANGUAGES))
def test_the_words_of_a_size_alone_state_the_same_size(sentence: str, language: Language) -> None:
    for each in statements_of(sentence, Span(0, len(sentence)), language):
        if each.kind == "size":
            words = sentence[each.span.start : each.span.end]
            (again,) = statements_of(words, Span(0, len(words)), language)
            assert (again.mm, again.kind) == (each.mm, "size")
            assert all(0 < mm <= 500 for mm in each.mm)


@given(st.sampled_from([8, 12.5, 30]), st.sampled_from(["mm", "cm"]), st.sampled_from(LANGUAGES))
def test_a_size_comes_back_as_it_was_written(number: float, unit: str, language: Language) -> None:
    text = {"en": f"A {number:g} {unit} nodule.", "ja": f"{number:g}{unit}の結節。", "zh": f"约{number:g}{unit}结节。"}
    (size,) = (each for each in found(text[language], language) if each.kind == "size")
    assert size.mm == (number * (10 if unit == "cm" else 1),)
