"""Words for codes."""

from __future__ import annotations

from typing import get_args

import pytest

from app.inference.vocabulary import DECISION_WORDS, TRAIT_WORDS, Decision, Language, trait_word


def test_every_decision_has_words_in_every_language() -> None:
    assert set(DECISION_WORDS) == set(get_args(Decision))
    for words in DECISION_WORDS.values():
        assert set(words) == set(get_args(Language))
    assert DECISION_WORDS["cancer_suspected"]["zh"] == "肺癌(疑似)"
    assert DECISION_WORDS["normal"]["zh"] == "正常(未见可疑结节)"


def test_every_scale_is_as_long_in_every_language() -> None:
    for name, words in TRAIT_WORDS.items():
        assert {len(scale) for scale in words.values()} == {6 if name == "calcification" else 5}


@pytest.mark.parametrize(
    ("name", "value", "language", "word"),
    [
        ("spiculation", 4.9, "en", "marked"),
        ("spiculation", 0.2, "en", "none"),
        ("calcification", 6.0, "en", "absent"),
        ("texture", 3.2, "zh", "部分实性"),
        ("roughness", 2.25, "en", "2.2"),
    ],
)
def test_trait_word_is_that_of_the_nearest_rating(name: str, value: float, language: Language, word: str) -> None:
    assert trait_word(name, value, language) == word
