"""Tokens of a sentence as the tagger reads them, and their numbers in its vocabulary."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

PADDING: Final = 0
UNKNOWN: Final = 1
FIRST: Final = 2  # number of the vocabulary's first token
NUMBER: Final = "#"  # every number: what it is matters to rules, that it is there to the tagger
# A Latin word, a number, or any other single character: a Chinese or Japanese character is a token of its own.
_TOKEN: Final = re.compile(r"[^\W\d_\u3000-\uffff]+|\d+(?:[.,]\d+)*|\S")


def tokens_of(sentence: str) -> list[str]:
    """The tokens of one sentence, compatibility forms replaced (NFKC: ㎝ is cm) and in small letters."""
    text = unicodedata.normalize("NFKC", sentence).lower()
    return [NUMBER if token[0].isdigit() else token for token in _TOKEN.findall(text)]


def numbers_of(vocabulary: Sequence[str]) -> dict[str, int]:
    """The number of each token of a vocabulary; PADDING and UNKNOWN are not among them."""
    return {token: FIRST + place for place, token in enumerate(vocabulary)}


def encode(sentences: Iterable[str], numbers: Mapping[str, int], shape: tuple[int, int]) -> NDArray[np.float32]:
    """float32 (sentences, tokens, 1) of token numbers for at most `shape[0]` sentences, PADDING after the last of each.

    Tokens beyond `shape[1]` are cut off. Whole numbers as float32, and the last axis, are what backends take.
    """
    ids = np.full((*shape, 1), PADDING, np.float32)
    for row, sentence in enumerate(sentences):
        found = [numbers.get(token, UNKNOWN) for token in tokens_of(sentence)[: shape[1]]]
        ids[row, : len(found), 0] = found
    return ids
