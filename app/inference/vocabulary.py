"""The words shown for codes, in English and Chinese. Codes never change with the language."""

from __future__ import annotations

from typing import Final, Literal

Language = Literal["en", "zh"]
Decision = Literal["cancer_suspected", "normal", "indeterminate", "rejected"]
Suspicion = Literal["suspected", "open", "low"]

DECISION_WORDS: Final[dict[Decision, dict[Language, str]]] = {
    "cancer_suspected": {"en": "Suspicious for lung cancer", "zh": "肺癌(疑似)"},
    "normal": {"en": "No suspicious nodule found", "zh": "正常(未见可疑结节)"},
    "indeterminate": {"en": "Indeterminate: a person must look", "zh": "不确定：需人工判读"},
    "rejected": {"en": "Not judged", "zh": "未判读"},
}

Words = dict[Language, tuple[str, ...]]

_DEGREE: Final[Words] = {
    "en": ("none", "slight", "moderate", "considerable", "marked"),
    "zh": ("无", "轻微", "中等", "较明显", "显著"),
}
# One word for each whole rating of the LIDC scale (Armato 2011), lowest first.
TRAIT_WORDS: Final[dict[str, Words]] = {
    "subtlety": {
        "en": ("extremely subtle", "moderately subtle", "fairly subtle", "moderately obvious", "obvious"),
        "zh": ("极难察觉", "较难察觉", "略难察觉", "较明显", "明显"),
    },
    "calcification": {
        "en": ("popcorn", "laminated", "solid", "non-central", "central", "absent"),
        "zh": ("爆米花样", "层状", "实性", "非中心性", "中心性", "无钙化"),
    },
    "sphericity": {
        "en": ("linear", "ovoid to linear", "ovoid", "ovoid to round", "round"),
        "zh": ("线状", "卵圆至线状", "卵圆形", "卵圆至圆形", "圆形"),
    },
    "margin": {
        "en": ("poorly defined", "near poorly defined", "medium", "near sharp", "sharp"),
        "zh": ("边界不清", "边界欠清", "中等", "边界较清", "边界清晰"),
    },
    "lobulation": _DEGREE,
    "spiculation": _DEGREE,
    "texture": {
        "en": ("non-solid", "non-solid to part-solid", "part-solid", "part-solid to solid", "solid"),
        "zh": ("非实性", "非实性至部分实性", "部分实性", "部分实性至实性", "实性"),
    },
}


def trait_word(name: str, value: float, language: Language) -> str:
    """The word for the whole rating nearest to `value`; the number itself for a trait without words."""
    words = TRAIT_WORDS.get(name)
    if words is None:
        return f"{value:.1f}"
    scale = words[language]
    return scale[min(max(round(value), 1), len(scale)) - 1]
