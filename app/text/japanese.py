"""Japanese words of chest CT reports."""

from __future__ import annotations

from typing import Final

from app.text.lexicon import NEVER, Lexicon, characters

_SIDE: Final = r"(?P<side>右|左|両側|両)"
_SEE: Final = (
    r"認め|みとめ|(?:認め|み|見|観察さ|確認さ|指摘さ)られ|み(?:え|られ)|観察され|確認され|指摘され|指摘でき|検出され"
)

JAPANESE: Final = Lexicon(
    coded={
        "finding": (
            ("lymph_node", characters(r"リンパ節(?:の?(?:腫大|腫脹|転移))?")),
            ("nodule", characters(r"(?:小|微小)?結節(?:性病変|状影|影)?|GGN|粒状影")),
            ("mass", characters(r"腫[瘤瘍](?:性病変|状影|影)?|mass|占拠性病変|マス")),
            ("effusion", characters(r"(?:胸|心嚢|心のう)(?:水|液)(?:貯留)?")),
            ("atelectasis", characters(r"無気肺")),
            ("pneumothorax", characters(r"気胸")),
            ("consolidation", characters(r"浸潤影|コンソリデーション|consolidation")),
            ("metastasis", characters(r"転移(?:巣|性病変)?|播種")),
            ("invasion", characters(r"浸潤")),
        ),
        "attenuation": (
            (
                "part_solid",
                characters(r"部分充実|一部充実|混合型?(?:すり|スリ)ガラス|part[\s-]?solid|充実(?:成分|部分?)"),
            ),
            ("ground_glass", characters(r"(?:すり|スリ|磨り)(?:ガラス|硝子)|GG[ONA]")),
            ("solid", characters(r"充実(?:性|型)?|solid")),
            ("calcified", characters(r"石灰化")),
            ("cavitary", characters(r"空洞")),
            ("fat", characters(r"脂肪")),
        ),
        "recommendation": (
            ("biopsy", characters(r"生検(?:を|が|での?)?[^。、]{0,8}(?:勧め|推奨|お願い|検討|ください|下さい|望まし)")),
            (
                "pet",
                characters(
                    r"PET(?:[-/]?CT)?(?:を|が|での?)?[^。、]{0,8}(?:勧め|推奨|お願い|検討|ください|下さい|望まし)"
                ),
            ),
            ("follow_up", characters(r"経過観察|経過を?(?:見|み|追)|フォロー(?:アップ)?|再検")),
            (
                "other",
                characters(
                    r"精査(?!目的)[^。、]{0,8}|推奨|お?勧め|(?<!を)お願い|(?:て|ご確認)(?:ください|下さい)|ください|下さい"
                ),
            ),
        ),
    },
    lobes=(
        characters(rf"{_SIDE}(?:肺野?の?)?(?P<level>[上中下](?:[・、]?[上中下])*)(?:肺)?葉"),
        characters(rf"{_SIDE}(?:肺の?)?(?P<level>肺?尖(?:部)?|舌区|舌葉)"),
        characters(rf"{_SIDE}(?:肺)?\s*S\s*(?P<segment>10|[1-9])(?![0-9])"),
        characters(r"(?P<level>舌区|舌葉)"),
    ),
    sides=characters(r"右|左|両側|両(?=肺|葉|上|下)"),
    side_words={"右": ("right",), "左": ("left",), "両": ("right", "left")},
    level_words={"上": "upper", "中": "middle", "下": "lower", "尖": "upper", "舌": "upper"},
    not_size_before=characters(r"(?:スライス厚|層厚|厚さ|厚|間隔|距離|から|より)\s*[はが:：]?\s*(?:約|およそ)?\s*\Z"),
    not_size_after=characters(r"\s*(?:厚|スライス|間隔|以内|離れ|の距離|末梢|頭側|尾側)"),
    denial_before=NEVER,
    denial_after=characters(
        rf"(?:{_SEE})(?:ず|ない|ません|無い|なかった|なく)|ありません|(?<![でく])(?:なし|無し|無く)|(?<=[はもが])(?:ない|無い|なく)|"
        r"(?:は|も|が)?(?:存在し|目立た|明らかで)(?:ず|ない|ません|なく)|消失|否定的"
    ),
    denial_ends=characters(
        r"(?:があり|あり)(?!ません)|ある|(?:認め|られ|れ)(?:、|る|ます(?!ん)|ました)|認めており|ものの|(?:です|だ|ます|る)が|しかし|一方|[;；:：]"
    ),
    no_denial=characters(
        r"(?:変化|著変|変わり)[はもが]?(?:ありません|なし|無し|ない|なく|認め(?:ず|ない|ません)|(?:み|見)られ(?:ず|ない|ません))|否定でき(?:ず|ない|ません)"
    ),
    spared=characters(r"に|内|より|から|周囲|辺縁|と連続|の(?!出現|存在|合併|併存|形成|所見|散在)"),
    doubt=characters(
        r"疑(?:い|う|われ|わし|える|って|え)|可能性|考え(?:ます|る|られ)|思われ|示唆|否定でき(?:ず|ない|ません)|かもしれ|推定|鑑別"
    ),
    doubt_before=NEVER,
    doubt_after=characters(
        r"(?:など)?(?:が|を|の|も|の存在を|の存在が)?(?:強く)?(?:疑|可能性|示唆|否定でき(?:ず|ない|ません))"
    ),
    elsewhere=characters(
        r"肝(?!門)|副腎|腎|甲状腺|乳[腺房癌]|骨|椎|脳|脾|膵|胃|食道|皮[膚下]|胆嚢|子宮|卵巣|胸腺|前縦隔"
    ),
    plural=characters(r"(?:多発|複数|散在|無数|多数)[^。、]{0,8}\Z|(?:が|は|を)?(?:多発|散在|複数|多数)"),
    measures=characters(r"大きさ|サイズ|径|計測|これ|同"),
)
