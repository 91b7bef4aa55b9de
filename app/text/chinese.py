"""Chinese words of chest CT reports, in simplified and traditional characters."""

from __future__ import annotations

from typing import Final

from app.text.lexicon import NEVER, Lexicon, characters

_SIDE: Final = r"(?P<side>右|左|双|雙|两|兩)"
_LUNG: Final = r"侧?側?肺?"

CHINESE: Final = Lexicon(
    coded={
        "finding": (
            ("lymph_node", characters(r"淋巴[结結](?:明显|显著)?(?:肿大|腫大|增大|转移|轉移)?")),
            ("nodule", characters(r"(?:小|微小?)?[结結][节節](?:影|灶|状影)?|GGN")),
            ("mass", characters(r"(?:软组织)?(?:[肿腫][块塊瘤物]|[团團][块塊]|占位(?:性?病变)?)(?:影|灶)?")),
            ("effusion", characters(r"(?:胸腔|胸膜腔|心包)?[积積]液|胸水")),
            ("atelectasis", characters(r"(?:肺)?不[张張]")),
            ("pneumothorax", characters(r"[气氣]胸")),
            ("consolidation", characters(r"[实實][变變]")),
            ("metastasis", characters(r"[转轉]移(?:瘤|灶)?")),
            ("invasion", characters(r"侵犯|侵及|浸[润潤]")),
        ),
        "attenuation": (
            ("part_solid", characters(r"部分[实實]性|半[实實]性|混合(?:性|型)?(?:磨|毛)玻璃|[实實]性成分")),
            ("subsolid", characters(r"[亚亞][实實]性")),
            ("ground_glass", characters(r"[纯純]?(?:磨|毛)玻璃|GG[ON]")),
            ("solid", characters(r"[实實]性")),
            ("calcified", characters(r"[钙鈣]化")),
            ("cavitary", characters(r"空洞")),
            ("fat", characters(r"脂肪")),
        ),
        "recommendation": (
            ("biopsy", characters(r"建[议議][^。，；]{0,10}(?:活检|活檢|穿刺)")),
            ("pet", characters(r"建[议議][^。，；]{0,10}PET(?:[-/]?CT)?")),
            ("follow_up", characters(r"(?:建[议議][^。，；]{0,14})?(?:[随隨][访訪]|[复複][查檢]|[复複][诊診])")),
            ("other", characters(r"建[议議]|必要[时時]|[请請][结結]合|[进進]一步[检檢]查")),
        ),
    },
    lobes=(
        characters(rf"{_SIDE}{_LUNG}(?P<level>[上中下](?:[、及和]?[上中下])*)肺?[叶葉]"),
        characters(rf"{_SIDE}(?P<level>[上中下])肺(?![叶葉野部])"),
        characters(rf"{_SIDE}{_LUNG}(?P<level>尖(?:段|部)?|舌[段叶葉])"),
        characters(rf"{_SIDE}{_LUNG}\s*S\s*(?P<segment>10|[1-9])(?![0-9])"),
        characters(r"(?P<level>舌[段叶葉])"),
    ),
    sides=characters(r"右|左|(?:双|雙|两|兩)(?=[侧側]|肺|上|下|[叶葉])"),
    side_words={
        "右": ("right",),
        "左": ("left",),
        **dict.fromkeys(("双", "雙", "两", "兩"), ("right", "left")),
    },
    level_words={"上": "upper", "中": "middle", "下": "lower", "尖": "upper", "舌": "upper"},
    not_size_before=characters(
        r"(?:[层層]厚|[层層]距|[间間]隔|距离?[^，。,；]{0,8}|距離)\s*(?:为|為|:|：)?\s*(?:约|約)?\s*\Z"
    ),
    not_size_after=characters(r"\s*(?:[层層]厚|[层層]距|薄[层層]|[间間]隔)"),
    denial_before=characters(
        r"未(?:[见見]|及|[发發][现現]|[显顯]示|示|探及)(?:明[显顯]|确切|异常)?|(?<!有)[无無](?!法|需|痛)(?:明[显顯])?|[没沒]有|不伴|除外(?<!不除外)(?<!不能除外)"
    ),
    denial_after=characters(r"(?:已|基本)?(?:消失|吸收)|[阴陰]性"),
    denial_ends=characters(r"[，,；;：:。]|但|可[见見]|另[见見]|(?<=[、及])[见見]|伴(?!随)|有(?!无|無)"),
    no_denial=characters(r"[未无無][见見]?(?:明[显顯])?(?:[变變]化|改[变變]|增大|增多|[进進]展)|不能?(?:排除|除外)"),
    spared=NEVER,
    doubt=characters(
        r"可疑|疑似|疑(?!似)|可能(?:性大)?|考[虑慮]|待排|不能?(?:除外|排除)|[倾傾]向|或[许許]|[拟擬][诊診]?|[？?]|似"
    ),
    doubt_before=characters(
        r"(?:可疑|疑似|疑|可能(?:为|是|為)?|考[虑慮](?:为|為)?|不能?(?:除外|排除)|[倾傾]向)[^，。；,;]{0,6}\Z"
    ),
    doubt_after=characters(r"(?:[^，。；,;]{0,4})(?:可能|待排|[？?]|不能?(?:除外|排除)|可疑)"),
    elsewhere=characters(
        r"肝|[肾腎]|甲[状狀]腺|乳腺|骨|椎|[脑腦]|脾|胰|胃|食管|食道|皮下|皮[肤膚]|[胆膽]囊|子[宫宮]|卵巢|胸腺"
    ),
    plural=characters(r"(?:多[发發]|多[个個]|[数數][个個枚]|[散弥]在|[数數]枚|[两兩几幾][个個枚])[^，。；]{0,10}\Z"),
    measures=characters(r"大小|直?[径徑]|[测測]量|其|[该該]"),
)
