"""The words for where a finding lies and how dense it is, in English and Chinese."""

from __future__ import annotations

from typing import Final

from app.imaging.lung_frame import Laterality, Third
from app.inference.prediction import AttenuationClass, Finding, Prediction
from app.inference.vocabulary import Language

Words = dict[Language, str]
SIDE_WORDS: Final[dict[Laterality, Words]] = {
    "left": {"en": "left lung", "zh": "左肺"},
    "right": {"en": "right lung", "zh": "右肺"},
}
NO_SIDE: Final[Words] = {"en": "side not told", "zh": "左右未定"}
THIRD_WORDS: Final[dict[Third, Words]] = {
    "upper": {"en": "upper third (estimate)", "zh": "上三分之一（估计）"},
    "middle": {"en": "middle third (estimate)", "zh": "中三分之一（估计）"},
    "lower": {"en": "lower third (estimate)", "zh": "下三分之一（估计）"},
}
SLICE_WORDS: Final[Words] = {"en": "slice {number} of {slices}", "zh": "第 {number} 层，共 {slices} 层"}
COMMA: Final[Words] = {"en": ", ", "zh": "，"}
ATTENUATION_WORDS: Final[dict[AttenuationClass, Words]] = {
    "solid": {"en": "solid", "zh": "实性"},
    "part_solid": {"en": "part-solid", "zh": "部分实性"},
    "non_solid": {"en": "non-solid", "zh": "非实性"},
    "calcified": {"en": "calcified", "zh": "钙化"},
}


def place_words(finding: Finding, language: Language) -> str:
    """Side and third of the lungs."""
    side, third = finding.location.side, finding.location.third
    words = [NO_SIDE[language] if side is None else SIDE_WORDS[side][language]]
    if third is not None:
        words.append(THIRD_WORDS[third][language])
    return COMMA[language].join(words)


def position_words(finding: Finding, prediction: Prediction, language: Language) -> str:
    """Side, third and slice; slices are counted from 1, in spatial order."""
    words = [place_words(finding, language)]
    if finding.slice is not None and prediction.series is not None:
        words.append(slice_words(finding.slice.index, prediction.series.slices, language))
    return COMMA[language].join(words)


def slice_words(index: int, slices: int, language: Language) -> str:
    """The slice with this 0-based index, counted from 1, of so many."""
    return SLICE_WORDS[language].format(number=index + 1, slices=slices)
