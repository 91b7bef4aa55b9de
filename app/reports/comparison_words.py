"""The words of a comparison's page for people, in English and Chinese; those of verdicts are in `app.comparison`."""

from __future__ import annotations

from typing import Final, Literal

from app.comparison.compare import NoDoubling
from app.comparison.growth import Pace
from app.inference.vocabulary import Language

ComparisonWord = Literal[
    "title",
    "compared",
    "compared_undated",
    "of_current",
    "of_prior",
    "nodules",
    "nodule",
    "change",
    "also",
    "measure",
    "now",
    "before",
    "volume_now",
    "volume_before",
    "volume_change",
    "doubling",
    "pace",
    "no_doubling",
    "apart",
    "others",
    "not_found",
    "not_shown",
    "registration",
    "days",
    "overlap",
    "rotation",
    "shift",
    "unpaired",
    "unpaired_value",
    "or_more",
    "up_to",
    "range",
    "days_before",
    "looked",
    "looked_value",
    "order",
]
COMPARISON_WORDS: Final[dict[ComparisonWord, dict[Language, str]]] = {
    "title": {"en": "Chest CT: automatic comparison of two series", "zh": "胸部 CT：两次序列的自动比较报告"},
    "compared": {
        "en": "Compared with a series of {days} days before: {counted}",
        "zh": "与 {days} 天前的既往序列比较：{counted}",
    },
    "compared_undated": {
        "en": "Compared with an earlier series, days between not known: {counted}",
        "zh": "与既往序列比较，间隔天数未知：{counted}",
    },
    "of_current": {"en": "Current series: {decision}.", "zh": "本次序列：{decision}。"},
    "of_prior": {"en": "Prior series: {decision}.", "zh": "既往序列：{decision}。"},
    "nodules": {"en": "All nodules, in the order of the current findings", "zh": "全部结节，按本次所见排列"},
    "nodule": {"en": "Nodule", "zh": "结节"},
    "change": {"en": "Change", "zh": "变化"},
    "also": {"en": "Also possible", "zh": "也可能为"},
    "measure": {"en": "Measured", "zh": "测量"},
    "now": {"en": "Now", "zh": "本次"},
    "before": {"en": "Before", "zh": "既往"},
    "volume_now": {"en": "Volume now (mm³)", "zh": "本次体积 (mm³)"},
    "volume_before": {"en": "Volume before (mm³)", "zh": "既往体积 (mm³)"},
    "volume_change": {"en": "Change of volume", "zh": "体积变化"},
    "doubling": {"en": "Doubling time (days)", "zh": "倍增时间 (天)"},
    "pace": {"en": "Doubles in", "zh": "倍增时间范围"},
    "no_doubling": {"en": "No doubling time", "zh": "无倍增时间"},
    "apart": {"en": "Apart, lungs laid over each other (mm)", "zh": "配准后距离 (mm)"},
    "others": {"en": "Other findings as near", "zh": "附近其他所见"},
    "not_found": {"en": "nothing found here", "zh": "此处未见"},
    "not_shown": {"en": "the place is not shown", "zh": "未显示该处"},
    "registration": {"en": "How both series lie to each other", "zh": "两次序列的配准"},
    "days": {"en": "Days between", "zh": "间隔天数"},
    "overlap": {"en": "Overlap of the lungs (Dice)", "zh": "肺部重叠 (Dice)"},
    "rotation": {"en": "Rotation", "zh": "旋转"},
    "shift": {"en": "Shift (mm)", "zh": "位移 (mm)"},
    "unpaired": {"en": "Findings of low suspicion without partner", "zh": "未配对的低可疑所见"},
    "unpaired_value": {"en": "{current} current, {prior} prior", "zh": "本次 {current}，既往 {prior}"},
    "or_more": {"en": "{low} or more", "zh": "{low} 或以上"},
    "up_to": {"en": "up to {high}", "zh": "至多 {high}"},
    "range": {"en": "{low} to {high}", "zh": "{low} 至 {high}"},
    "days_before": {"en": "{days} days before", "zh": "{days} 天前"},
    "looked": {"en": "Bear in mind", "zh": "请注意"},
    "looked_value": {
        "en": "found by looking where the other series shows it: it may be a vessel beside the place",
        "zh": "在另一序列所示位置查找所得，可能为附近血管",
    },
    "order": {
        "en": "Pictures follow of at most five that count in a decision, grown and new ones first: now at the left and "
        "before at the right, at one scale. A cross marks the place where nothing was found.",
        "zh": "以下为至多五个计入判定的结节，增大和新发者在前：左侧为本次，右侧为既往，比例相同。十字表示未见结节。",
    },
}
PACE_WORDS: Final[dict[Pace, dict[Language, str]]] = {
    "at_most_400_days": {"en": "at most 400 days", "zh": "不超过 400 天"},
    "400_to_600_days": {"en": "400 to 600 days", "zh": "400–600 天"},
    "over_600_days": {"en": "over 600 days", "zh": "超过 600 天"},
}
NO_DOUBLING_WORDS: Final[dict[NoDoubling, dict[Language, str]]] = {
    "dates_missing": {"en": "dates missing", "zh": "日期缺失"},
    "same_day": {"en": "both of one day", "zh": "同一天的扫描"},
    "no_growth": {"en": "no growth", "zh": "未增大"},
}
