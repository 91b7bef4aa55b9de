"""The nodules and masses that a report names, each with what its sentence says of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Final

from app.text.denials import REACH
from app.text.lexicon import Lexicon
from app.text.rules import BOTH, LEXICONS
from app.text.sentences import Span
from app.text.statements import LESIONS, SIDE_OF_LOBE, Kind, Language, Mention, Sentence, Side, Statement

SIZED: Final = (*LESIONS, "lymph_node", "effusion", "metastasis")  # what a size or a place may be of
JOINS: Final = re.compile(r"\b(?:and|with|plus|as\s+well\s+as)\b|[,;，；、]|及|和|伴|と|や|および", re.IGNORECASE)
BOTH_SIDES: Final[tuple[Side, ...]] = ("right", "left")


def mentions_of(text: str, sentences: Sequence[Sentence], language: Language) -> tuple[Mention, ...]:
    """The nodules and masses of a report, in the order of its words; those of other organs are left out.

    What a sentence says belongs to the nodule on whose side of a joining word it stands. A size in a sentence without
    any finding, which goes on about the one before (`it measures 9 mm`), is that of the nodule there, if it is the
    only one and has none.
    """
    lexicon, found = LEXICONS[language], list[Mention]()
    for number, sentence in enumerate(sentences):
        before = [mention for mention in found if mention.sentence == number - 1]
        if len(before) == 1 and before[0].size_mm is None and _goes_on(text, sentence, lexicon):
            sizes = [statement for statement in sentence.statements if statement.kind == "size"]
            found[-1] = replace(before[0], size_mm=max(sizes[0].mm))
        found += _of_sentence(text, number, sentence, lexicon)
    return tuple(found)


def _goes_on(text: str, sentence: Sentence, lexicon: Lexicon) -> bool:
    kinds = {statement.kind for statement in sentence.statements}
    words = text[sentence.span.start : sentence.span.end]
    return "size" in kinds and "finding" not in kinds and lexicon.measures.search(words) is not None


def _of_sentence(text: str, number: int, sentence: Sentence, lexicon: Lexicon) -> Iterator[Mention]:
    words = text[sentence.span.start : sentence.span.end]
    nouns = [each for each in sentence.statements if each.kind == "finding" and each.value in SIZED]
    lesions = [each for each in nouns if each.value in LESIONS]
    elsewhere = lexicon.elsewhere.search(words) is not None
    for lesion, part in zip(nouns, _parts(text, sentence.span, nouns), strict=True):
        if lesion not in lesions:
            continue
        own = [each for each in sentence.statements if part.start <= each.span.start < part.end]
        lobes = _values(own, "lobe") or (_values(sentence.statements, "lobe") if len(lesions) == 1 else ())
        if not lobes and elsewhere:
            continue
        sides = _sides(own, lobes) or (_sides(sentence.statements, ()) if len(lesions) == 1 else ())
        sizes = [each.mm for each in own if each.kind == "size"]
        yield Mention(
            sentence=number,
            span=lesion.span,
            term=lesion.value,
            size_mm=max(sizes[0]) if sizes else None,
            lobes=lobes,
            sides=sides,
            attenuations=tuple(
                dict.fromkeys(each.value for each in own if each.kind == "attenuation" and not each.negated)
            ),
            negated=lesion.negated,
            uncertain=lesion.uncertain,
            several=_is_plural(text, lesion.span, sentence.span, lexicon),
        )


def _is_plural(text: str, noun: Span, sentence: Span, lexicon: Lexicon) -> bool:
    """Whether `multiple` stands before the noun, or the noun itself or what follows it is plural."""
    named, after = text[noun.start : noun.end], text[noun.end : sentence.end]
    ahead = text[max(sentence.start, noun.start - REACH) : noun.start]
    return bool(lexicon.plural.search(ahead) or lexicon.plural.search(named) or lexicon.plural.match(after))


def _parts(text: str, sentence: Span, nouns: Sequence[Statement]) -> list[Span]:
    """The part of a sentence that each noun has for itself: up to the last word that joins it to the next one."""
    parts, start = [], sentence.start
    for noun, following in pairwise(nouns):
        joins = list(JOINS.finditer(text, noun.span.end, following.span.start))
        end = joins[-1].start() if joins else (noun.span.end + following.span.start) // 2
        parts.append(Span(start, end))
        start = end
    return [*parts, Span(start, sentence.end)] if nouns else []


def _values(statements: Sequence[Statement], kind: Kind) -> tuple[str, ...]:
    return tuple(dict.fromkeys(each.value for each in statements if each.kind == kind))


def _sides(statements: Sequence[Statement], lobes: Sequence[str]) -> tuple[Side, ...]:
    """Those of the lobes, or else those that the words name."""
    if lobes:
        return tuple(dict.fromkeys(SIDE_OF_LOBE[lobe] for lobe in lobes))
    named = _values(statements, "side")
    return tuple(side for side in BOTH_SIDES if side in named or BOTH in named)
