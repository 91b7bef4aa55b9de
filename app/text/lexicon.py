"""What rules know of a language: patterns for words, and how they join."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from app.text.statements import Kind, Side

Coded = Sequence[tuple[str, re.Pattern[str]]]  # code and pattern, the more special first

NEVER: Final = re.compile(r"(?!)")


@dataclass(frozen=True, slots=True, eq=False)
class Lexicon:
    """The words of one language.

    `coded` are those of a finding, an attenuation and a recommendation. `lobes` are patterns with the groups `side`
    and `level`, `segment` or `code` (RUL), which `side_words` and `level_words` read: a group that holds several words
    means each. Of a size, `not_size_before` and `not_size_after` match the end and the beginning of what stands around
    a length that is none. A finding is negated by `denial_before` or `denial_after` it, unless something that
    `denial_ends` matches stands between, or `spared` matches right behind it; `no_denial` matches what looks like a
    denial and is none. It is uncertain where `doubt_before` matches the end of what stands before it, or `doubt_after`
    the beginning of what follows; `doubt` are the words themselves. `elsewhere` names organs other than the lung,
    `plural` what makes a noun plural, around it; `measures` a sentence that goes on about the last one's nodule.
    """

    coded: Mapping[Kind, Coded]
    lobes: Sequence[re.Pattern[str]]
    sides: re.Pattern[str]
    side_words: Mapping[str, tuple[Side, ...]]
    level_words: Mapping[str, str]
    not_size_before: re.Pattern[str]
    not_size_after: re.Pattern[str]
    denial_before: re.Pattern[str]
    denial_after: re.Pattern[str]
    denial_ends: re.Pattern[str]
    no_denial: re.Pattern[str]
    spared: re.Pattern[str]
    doubt: re.Pattern[str]
    doubt_before: re.Pattern[str]
    doubt_after: re.Pattern[str]
    elsewhere: re.Pattern[str]
    plural: re.Pattern[str]
    measures: re.Pattern[str]


def words(pattern: str) -> re.Pattern[str]:
    """Latin words, whole, in capitals or not."""
    return re.compile(rf"\b(?:{pattern})\b", re.IGNORECASE)


def characters(pattern: str) -> re.Pattern[str]:
    """Chinese and Japanese, which have no borders of words."""
    return re.compile(f"(?:{pattern})", re.IGNORECASE)
