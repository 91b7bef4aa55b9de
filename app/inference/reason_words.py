"""The words for reasons of a decision and for remarks about an image, by code, in English and Chinese.

A remark's own message says it with its numbers, in English alone.
"""

from __future__ import annotations

from typing import Final

from app.inference.vocabulary import Language

REASON_WORDS: Final[dict[str, dict[Language, str]]] = {
    "no_lung": {"en": "No lung is seen", "zh": "未见肺组织"},
    "not_axial": {"en": "The slice is not axial", "zh": "非轴位层面"},
    "not_axial_chest": {"en": "It does not look like an axial slice of a chest", "zh": "不像胸部轴位层面"},
    "implausible_hu": {"en": "The scale of the values (HU) is implausible", "zh": "HU 数值不合理"},
    "no_contrast": {"en": "The values span less than those of a chest", "zh": "数值范围过窄"},
    "not_a_nodule": {"en": "What was pointed at does not look like a nodule", "zh": "所指位置不像结节"},
    "roi_in_air": {"en": "What was pointed at is air", "zh": "所指位置为空气"},
    "roi_on_bone": {"en": "What was pointed at is bone or calcium", "zh": "所指位置为骨或钙化"},
    "roi_outside_lung": {"en": "What was pointed at lies outside the lung", "zh": "所指位置在肺外"},
    "roi_near_edge": {"en": "What was pointed at lies near the edge of the image", "zh": "所指位置靠近图像边缘"},
    "roi_like_blood": {"en": "As dense as enhanced blood: it may be a vessel", "zh": "密度与增强血管相近，可能为血管"},
    "roi_in_mass": {"en": "Judged from the middle of a mass", "zh": "按肿块中心判读"},
    "out_of_distribution": {"en": "Unlike anything in the training data", "zh": "与训练数据差异过大"},
    "near_operating_point": {"en": "Too near the threshold to decide", "zh": "过于接近判定阈值"},
    "lungs_not_whole": {"en": "The scan begins or ends inside the lungs", "zh": "扫描未包括全部肺"},
    "partial_lung": {"en": "The edge of the image cuts the lungs", "zh": "图像边缘截断肺部"},
    "opacified_lung": {"en": "Part of a lung holds no air and was not judged", "zh": "部分肺无气体，该处未判读"},
    "narrow_view": {"en": "Narrow image: the lungs were not looked for", "zh": "图像范围过窄，未查找肺部"},
    "thick_slice": {"en": "Thick slices: small nodules fade", "zh": "层厚较大，小结节可能不可见"},
    "nodules_may_be_missed": {"en": "Suspicious nodules may be missed", "zh": "可能漏诊可疑结节"},
    "study_level_not_validated": {
        "en": "The decision for the whole was measured on few scans",
        "zh": "整体判定仅在少量扫描上测试",
    },
    "spacing_assumed": {"en": "Pixel spacing assumed", "zh": "像素间距为假定值"},
    "window_assumed": {"en": "Window assumed", "zh": "窗宽窗位为假定值"},
    "window_clips_lung": {"en": "The window cuts off lung or soft tissue", "zh": "窗口截去肺或软组织"},
    "orientation_assumed": {"en": "Orientation assumed", "zh": "方向为假定值"},
    "hounsfield_assumed": {"en": "Values taken for HU", "zh": "数值按 HU 处理"},
    "patient_not_stated": {"en": "Headers do not say that both are of one patient", "zh": "文件头未说明为同一患者"},
    "dates_missing": {"en": "The headers share no date", "zh": "日期缺失，间隔未知"},
    "same_day": {"en": "Both series are of one day", "zh": "两次序列为同一天"},
    "same_series": {"en": "Both parts are the same series", "zh": "两部分为同一序列"},
    "slices_differ": {"en": "Distances of slices differ", "zh": "层间距不同"},
    "kernels_differ": {"en": "Kernels differ", "zh": "重建核不同"},
    "lungs_not_aligned": {"en": "The lungs do not fit together", "zh": "两次扫描的肺无法对齐"},
    "search_missed": {"en": "A search has missed nodules that the other shows", "zh": "搜索漏检了另一序列中的结节"},
    "files_unreadable": {"en": "Some files could not be read", "zh": "部分文件无法读取"},
}


def reason_words(code: str, language: Language) -> str:
    """The words for a code; the code itself where it has none."""
    words = REASON_WORDS.get(code)
    return code if words is None else words[language]
