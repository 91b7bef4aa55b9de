"""The words for verdicts, and for why there is none, in English and Chinese."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final, Literal

from app.comparison.growth import Verdict
from app.inference.vocabulary import Language

Part = Literal["current", "prior"]
NotCompared = Literal["scan_rejected", "lungs_not_aligned", "outside_other_scan", "not_measured"]

VERDICT_WORDS: Final[dict[Verdict, dict[Language, str]]] = {
    "grew": {"en": "grew", "zh": "增大"},
    "shrank": {"en": "shrank", "zh": "缩小"},
    "stable": {"en": "stable", "zh": "稳定"},
    "within_measurement_error": {"en": "changed, within the measurement error", "zh": "变化在测量误差之内"},
    "new": {"en": "new", "zh": "新发"},
    "gone": {"en": "gone", "zh": "消失"},
    "not_compared": {"en": "not compared", "zh": "未比较"},
}
NOT_COMPARED_WORDS: Final[dict[NotCompared, dict[Language, str]]] = {
    "scan_rejected": {"en": "the other scan was not judged", "zh": "另一扫描未判读"},
    "lungs_not_aligned": {"en": "the lungs of both scans do not fit together", "zh": "两次扫描的肺无法对齐"},
    "outside_other_scan": {"en": "the other scan does not show the place", "zh": "另一扫描未包括该处"},
    "not_measured": {"en": "a volume could not be measured", "zh": "体积无法测量"},
}

JOINS: Final[dict[Language, tuple[str, str]]] = {"en": (": ", ", "), "zh": ("：", "，")}
NOTHING: Final[dict[Language, str]] = {"en": "no nodules to compare", "zh": "无可比较的结节"}
LOOKED_WORDS: Final[dict[Part, dict[Language, str]]] = {
    "current": {"en": " (missed by the search of the current scan)", "zh": "（本次扫描的搜索漏检）"},
    "prior": {"en": " (missed by the search of the prior scan)", "zh": "（既往扫描的搜索漏检）"},
}


def verdict_words(verdict: Verdict, reason: NotCompared | None, looked_in: Part | None, language: Language) -> str:
    """The verdict, why there is none, and which scan's search has missed the nodule."""
    words = VERDICT_WORDS[verdict][language]
    if reason is not None:
        colon = ": " if language == "en" else "："
        words = f"{words}{colon}{NOT_COMPARED_WORDS[reason][language]}"
    return words if looked_in is None else words + LOOKED_WORDS[looked_in][language]


def count_words(verdicts: Iterable[Verdict], language: Language) -> str:
    """How many nodules have which verdict."""
    counted = Counter(verdicts)
    colon, comma = JOINS[language]
    told = [f"{VERDICT_WORDS[v][language]}{colon}{counted[v]}" for v in VERDICT_WORDS if counted[v]]
    return comma.join(told) or NOTHING[language]
