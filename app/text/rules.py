"""What rules find in a sentence: findings and whether they are denied or doubted, sizes, places, and the rest."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from app.text.chinese import CHINESE
from app.text.denials import Denials
from app.text.english import ENGLISH
from app.text.japanese import JAPANESE
from app.text.lexicon import Lexicon
from app.text.sentences import Span
from app.text.sizes import sizes_of
from app.text.statements import SIDE_OF_LOBE, Language, Side, Statement

LEXICONS: Final[dict[Language, Lexicon]] = {"en": ENGLISH, "ja": JAPANESE, "zh": CHINESE}
DENIABLE: Final = ("finding", "attenuation")
BOTH: Final = "both"
# TNM descriptors alone or in a row. A vertebra and a weighting of MRI are written alike.
_STAGE: Final = re.compile(
    r"(?<![A-Za-z0-9])[cpyr]{0,3}"
    r"(?P<t>T(?:is|X|0|1mi|1[a-c]|2[ab]|[1-4])(?![0-9]))?\s?(?P<n>N(?:X|[0-3])[a-c]?)?\s?(?P<m>M(?:X|0|1[a-c]?))?"
    r"(?![A-Za-z0-9])(?!\s*(?:vertebra|level|spine|body|rib|-?\s?weighted|[椎胸腰]))"
)
# Broncho-pulmonary segments of each lobe; the left upper holds the lingula, S4 and S5.
_SEGMENTS: Final[dict[Side, dict[int, str]]] = {
    "right": {n: "upper" if n <= 3 else "middle" if n <= 5 else "lower" for n in range(1, 11)},
    "left": {n: "upper" if n <= 5 else "lower" for n in range(1, 11)},
}
_OF_CODE: Final = {
    "RUL": "right_upper",
    "RML": "right_middle",
    "RLL": "right_lower",
    "LUL": "left_upper",
    "LLL": "left_lower",
}


def language_of(text: str) -> Language:
    """The language of a report by its script: kana is Japanese, other Chinese characters are Chinese."""
    if re.search(r"[\u3041-\u309f\u30a1-\u30fa\uff66-\uff9d]", text):
        return "ja"
    return "zh" if re.search(r"[\u4e00-\u9fff]", text) else "en"


def statements_of(text: str, sentence: Span, language: Language) -> tuple[Statement, ...]:
    """What a sentence of `text` states, in the order of its words; spans are those of the text."""
    lexicon, words = LEXICONS[language], text[sentence.start : sentence.end]
    denials = Denials(words, lexicon)
    found = [*_coded(words, lexicon, denials), *_sizes(words, lexicon), *_places(words, lexicon), *_stages(words)]
    found += [Statement("negation", "negated", cue) for cue in denials.cues]
    found += [Statement("uncertainty", "uncertain", _span(cue)) for cue in lexicon.doubt.finditer(words)]
    here = (replace(each, span=each.span.moved(sentence.start)) for each in found)
    return tuple(sorted(here, key=lambda each: (each.span, each.kind)))


def _coded(words: str, lexicon: Lexicon, denials: Denials) -> Iterator[Statement]:
    """Findings, attenuations, recommendations: of words that fit several codes of a kind, the first."""
    for kind, table in lexicon.coded.items():
        taken: list[Span] = []
        for code, match in ((code, match) for code, pattern in table for match in pattern.finditer(words)):
            span = _span(match)
            if not any(map(span.overlaps, taken)):
                taken.append(span)
                denied = kind in DENIABLE and denials.deny(span)
                doubted = kind in DENIABLE and not denied and denials.doubt(span)
                yield Statement(kind, code, span, negated=denied, uncertain=doubted)


def _sizes(words: str, lexicon: Lexicon) -> Iterator[Statement]:
    for size in sizes_of(words, lexicon):
        yield Statement("size", "mm", Span(size.start, size.end), size.mm)


def _places(words: str, lexicon: Lexicon) -> Iterator[Statement]:
    """Lobes, and every side; words that name several lobes give a statement for each, all with the same span."""
    taken: list[Span] = []
    for pattern in lexicon.lobes:
        for match in pattern.finditer(words):
            span = _span(match)
            if any(map(span.overlaps, taken)):
                continue
            taken.append(span)
            yield from (Statement("lobe", lobe, span) for lobe in _lobes(match, lexicon))
            if "code" in pattern.groupindex:
                yield Statement("side", SIDE_OF_LOBE[_OF_CODE[match["code"]]], span)
    for match in lexicon.sides.finditer(words):
        sides = _sides(match.group(), lexicon)
        yield Statement("side", BOTH if len(sides) > 1 else sides[0], _span(match))


def _lobes(match: re.Match[str], lexicon: Lexicon) -> list[str]:
    """The lobes that a match of one of `lobes` names. A lingula without a side is the left one: there is no other."""
    groups = match.groupdict()
    if code := groups.get("code"):
        return [_OF_CODE[code]]
    sides: tuple[Side, ...] = _sides(groups["side"], lexicon) if groups.get("side") else ("left",)
    segment, level = groups.get("segment"), groups.get("level") or ""
    if segment:
        return [f"{side}_{_SEGMENTS[side][int(segment)]}" for side in sides]
    named = [f"{side}_{each}" for side in sides for each in _levels(level, lexicon)]
    return [lobe for lobe in named if lobe in SIDE_OF_LOBE]


def _levels(named: str, lexicon: Lexicon) -> list[str]:
    low = named.lower()
    found = [(low.find(word), level) for word, level in lexicon.level_words.items() if word in low]
    return list(dict.fromkeys(level for _, level in sorted(found)))


def _sides(named: str, lexicon: Lexicon) -> tuple[Side, ...]:
    low = named.lower()
    return next(sides for word, sides in lexicon.side_words.items() if word in low)


def _stages(words: str) -> Iterator[Statement]:
    for match in _STAGE.finditer(words):
        for axis in ("t", "n", "m"):
            if match[axis]:
                yield Statement("stage", match[axis], Span(*match.span(axis)))


def _span(match: re.Match[str]) -> Span:
    return Span(*match.span())
