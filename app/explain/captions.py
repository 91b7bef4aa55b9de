"""The captions of a picture, in English and Chinese."""

from __future__ import annotations

from typing import Final, Literal

from app.inference.vocabulary import Language, Suspicion

Caption = Literal[
    "disclaimer",
    "against",
    "for",
    "evidence",
    "assumed",
    "finding",
    "not_judged",
    "more",
    "none",
    "scan_series",
    "scan_slice",
    "series",
    "mean",
    "lung_window",
    "soft_window",
    "caveats",
    "malignancy",
]

# What a finding counts for in the decision for a whole slice or series.
SUSPICION_WORDS: Final[dict[Suspicion, dict[Language, str]]] = {
    "suspected": {"en": "suspicious", "zh": "可疑"},
    "open": {"en": "uncertain", "zh": "不确定"},
    "low": {"en": "not counted", "zh": "不计入"},
}
CAPTIONS: Final[dict[Caption, dict[Language, str]]] = {
    "disclaimer": {"en": "Research use only. Not a medical device.", "zh": "仅供研究使用，非医疗器械。"},
    "evidence": {"en": "Evidence", "zh": "依据"},
    "against": {"en": "against", "zh": "不支持"},
    "for": {"en": "for suspicion", "zh": "支持"},
    "assumed": {"en": "pixel spacing assumed", "zh": "像素间距为假定值"},
    "finding": {"en": "Finding", "zh": "所见"},
    "not_judged": {"en": "not judged", "zh": "未判读"},
    "more": {"en": "more", "zh": "更多"},
    "scan_series": {"en": "Whole series", "zh": "整个序列"},
    "scan_slice": {"en": "Whole slice", "zh": "整个层面"},
    "none": {"en": "No findings on this slice", "zh": "此层面未见结节"},
    "series": {"en": "Series", "zh": "序列"},
    "mean": {"en": "mean", "zh": "平均"},
    "lung_window": {"en": "Lung window", "zh": "肺窗"},
    "soft_window": {"en": "Mediastinal window", "zh": "纵隔窗"},
    "caveats": {"en": "Bear in mind", "zh": "请注意"},
    "malignancy": {"en": "probability of malignancy", "zh": "恶性概率"},
}
