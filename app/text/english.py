"""English words of chest CT reports."""

from __future__ import annotations

import re
from typing import Final

from app.text.lexicon import NEVER, Lexicon, words

_SIDE: Final = r"(?P<side>right|left|bilateral|both)"
_LEVEL: Final = r"upper|middle|lower"
_LEVELS: Final = rf"(?P<level>(?:{_LEVEL})(?:(?:\s*,\s*|\s*/\s*|\s+and\s+|\s*&\s*)(?:{_LEVEL}))*)"
_SEEN: Final = (
    r"seen|identified|detected|found|noted|evident|present|observed|visualized|visualised|demonstrated|apparent"
)
_ORGANS: Final = (
    r"liver|hepatic|adrenal|kidneys?|renal|thyroid|breasts?|mammary|bones?|osseous|vertebra[le]?|ribs?|brain|spleen|"
    r"splenic|pancrea(?:s|tic)|stomach|gastric|o?esophag\w+|skin|subcutaneous|gallbladder|uter\w+|ovar\w+|thym\w+"
)

ENGLISH: Final = Lexicon(
    coded={
        "finding": (
            ("lymph_node", words(r"lymphadenopathy|(?:enlarged?\s+)?lymph\s*nodes?(?:\s+(?:enlargement|metast\w+))?")),
            ("nodule", words(r"(?:micro)?nodules?|nodular\s+(?:lesions?|opacit(?:y|ies)|shadows?|densit(?:y|ies))")),
            ("mass", words(r"mass(?:es)?|tumou?rs?|tumorous\s+lesions?|neoplasms?|mass-like\s+lesions?")),
            ("nodule", words(r"GGNs?")),
            ("effusion", words(r"(?:(?:pleural|pericardial)\s+)?effusions?")),
            ("atelectasis", words(r"atelecta(?:sis|ses|tic)|collapsed?")),
            ("pneumothorax", words(r"pneumothora(?:x|ces)")),
            ("consolidation", words(r"consolidations?|infiltrat(?:es|ive\s+opacit(?:y|ies))")),
            ("metastasis", words(r"metasta(?:sis|ses|tic\s+(?:lesions?|disease))")),
            ("invasion", words(r"invasions?|infiltration")),
        ),
        "attenuation": (
            ("part_solid", words(r"part(?:ly|ially)?[\s-]+solid|semi[\s-]*solid|mixed\s+ground[\s-]glass")),
            ("part_solid", words(r"solid\s+(?:components?|parts?|portions?)")),
            ("subsolid", words(r"sub[\s-]?solid")),
            ("ground_glass", words(r"(?:pure\s+)?ground[\s-]?glass|GG[ON]s?|non[\s-]?solid")),
            ("solid", words(r"solid")),
            ("calcified", words(r"calcifi(?:ed|cations?)")),
            ("cavitary", words(r"cavit(?:y|ies|ary|ated|ation)")),
            ("fat", words(r"fat|fatty")),
        ),
        "recommendation": (
            (
                "biopsy",
                words(r"biopsy\s+(?:is\s+|should\s+be\s+)?(?:recommended|advised|performed|suggested|warranted)"),
            ),
            ("biopsy", words(r"(?:recommend|advise|suggest|consider)\w*\s+(?:\w+\s+){0,3}biopsy")),
            ("pet", words(r"(?:recommend|advise|suggest|consider)\w*\s+(?:\w+\s+){0,3}PET(?:[-/ ]CT)?")),
            ("follow_up", words(r"(?:recommend|advise|suggest|consider)\w*\s+(?:[\w-]+\s+){0,4}follow[\s-]*up")),
            ("follow_up", words(r"follow[\s-]*up(?:\s+[\w/-]+){0,5}\s+(?:recommended|advised|suggested|warranted)")),
            ("follow_up", words(r"follow[\s-]*up\s+(?:with\s+)?(?:[\w-]+\s+){0,2}(?:CT|imaging|in\s+\d+\s+\w+)")),
            (
                "other",
                words(r"recommend(?:ed|ations?|s)?|advised?|is\s+warranted|please|further\s+(?:evaluation|work-?up)"),
            ),
        ),
    },
    lobes=(
        words(rf"{_SIDE}[\s-]+{_LEVELS}\s+(?:lung\s+)?lobes?"),
        words(rf"{_LEVELS}\s+{_SIDE}\s+(?:lung\s+)?lobes?"),
        words(rf"{_LEVELS}\s+lobes?\s+(?:of|on)\s+(?:the\s+)?{_SIDE}(?:\s+(?:lung|side))?"),
        re.compile(r"\b(?P<code>R[UML]L|L[UL]L)\b"),
        words(rf"{_SIDE}\s+(?:lung\s+)?(?P<level>ap(?:ex|ical|ices)|lingula\w*)"),
        words(rf"(?P<level>apex|lingula)\s+of\s+(?:the\s+)?{_SIDE}\s+(?:lung|upper\s+lobe)"),
        words(rf"{_SIDE}\s+(?:lung\s*,?\s*)?(?:segment\s+)?S(?P<segment>10|[1-9])"),
        words(r"(?P<level>lingula)"),
    ),
    sides=re.compile(
        r"\b(?:right|left(?!\s+(?:unchanged|alone|in\s+place|untreated|over))|bilateral(?:ly)?|both)(?:-sided)?\b",
        re.IGNORECASE,
    ),
    side_words={"right": ("right",), "left": ("left",), "bilateral": ("right", "left"), "both": ("right", "left")},
    level_words={
        "upper": "upper",
        "middle": "middle",
        "lower": "lower",
        "ap": "upper",
        "lingula": "upper",
    },
    not_size_before=re.compile(
        r"(?:thickness|collimation|intervals?|spacing|distance|within|every|increments?)\s*(?:of|is|was|:|=|at)?\s*"
        r"(?:about\s*|approximately\s*)?$",
        re.IGNORECASE,
    ),
    not_size_after=re.compile(
        r"[\s-]*(?:thick\b|slices?\b|sections?\b|collimation|intervals?\b|increment|reconstruction|from\b|distal\b|"
        r"proximal\b|above\b|below\b|away\b|apart\b|cranial\b|caudal\b)",
        re.IGNORECASE,
    ),
    denial_before=words(
        r"no|without|absence\s+of|negative\s+for|free\s+of|nor|neither|denies|lack\s+of|"
        r"(?:do|does|did)\s+not\s+(?:show|demonstrate|reveal|contain|have)|not\s+accompanied\s+by|rules?\s+out"
    ),
    denial_after=words(
        rf"(?:is|are|was|were|has\s+been|have\s+been)\s+(?:not|no\s+longer)\s+(?:\w+\s+)?(?:{_SEEN}|enlarged)|"
        rf"(?:cannot|can\s+not|could\s+not)\s+be\s+(?:{_SEEN})|not\s+(?:{_SEEN})|(?:is|are|was|were)\s+absent|"
        r"(?:is|are|was|were|has\s+been|have\s+been)\s+(?:ruled\s+out|excluded)|"
        r"(?:has|have)\s+(?:completely\s+)?(?:resolved|disappeared)"
    ),
    denial_ends=re.compile(
        r"\b(?:but|however|although|though|except|aside\s+from|apart\s+from|other\s+than|besides|whereas|while|which|"
        r"there\s+(?:is|are)|in\s+(?:the|a|an|this|his|her)\s+\d+)\b|[;:]|"
        r",\s*(?:and\s+)?(?:a|an|the|there|multiple|several|new|stable|[0-9])\b|"
        r"\b(?:is|are|was|were)\s+(?:seen|found|noted|present|identified)\b",
        re.IGNORECASE,
    ),
    no_denial=words(
        r"no\s+(?:\w+\s+){0,2}(?:changes?|growth|increase|progression)|without\s+(?:\w+\s+){0,2}(?:changes?|growth)|"
        r"no\s+(?:\w+\s+){0,2}(?:prior|previous|comparable|comparison|earlier)|no\s+doubt|not\s+only|"
        r"(?:cannot|can\s+not|could\s+not)\s+(?:be\s+)?(?:ruled?|exclude[ds]?)(?:\s+out)?"
    ),
    spared=NEVER,
    doubt=words(
        r"possib(?:le|ly|ility)|probabl[ey]|likely|unlikely|suspicious|suspected|suspects?|suspicion|suggest(?:s|ed|ive|ing)?"
        r"(?!\s+(?:follow|biopsy|PET))|may|might|could|questionable|indeterminate|presum(?:ed|ably)|appears?\s+to|"
        r"considered|concerning\s+for|cannot\s+(?:be\s+)?(?:excluded?|ruled?\s+out)|differential\s+diagnos[ei]s"
    ),
    doubt_before=re.compile(
        r"\b(?:possible|possibly|probable|probably|likely|suspected|suspicious\s+for|suspicion\s+of|questionable|"
        r"may\s+(?:be|represent)|could\s+(?:be|represent)|concerning\s+for|suggest(?:s|ive\s+of|ing))\s+"
        r"(?:[\w-]+\s+){0,4}$",
        re.IGNORECASE,
    ),
    doubt_after=re.compile(
        r"\s+(?:[\w-]+\s+){0,6}?(?:(?:is|are)\s+(?:suspected|possible|questionable)|cannot\s+be\s+(?:excluded|ruled\s+out))",
        re.IGNORECASE,
    ),
    elsewhere=words(_ORGANS),
    plural=re.compile(
        r"(?:\b(?:multiple|several|numerous|few|scattered)\b(?:\s+[\w-]+){0,4}\s*$)|(?<!s)s$", re.IGNORECASE
    ),
    measures=words(r"it|its|this|measur(?:es|ing)|diameter|size"),
)
