"""What a sentence states: plain data with the place in the text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from app.text.sentences import Span

Language = Literal["en", "ja", "zh"]
LANGUAGES: Final[tuple[Language, ...]] = ("en", "ja", "zh")
Kind = Literal["finding", "size", "lobe", "side", "attenuation", "negation", "uncertainty", "recommendation", "stage"]
Side = Literal["right", "left"]
LESIONS: Final = ("nodule", "mass")
SIDE_OF_LOBE: Final[dict[str, Side]] = {
    "right_upper": "right",
    "right_middle": "right",
    "right_lower": "right",
    "left_upper": "left",
    "left_lower": "left",
}


@dataclass(frozen=True, slots=True)
class Statement:
    """One thing that words of a sentence state, and where they stand in the text that was sent.

    `value` is a code: of a finding `nodule` and others, of a lobe `right_upper` and others, of a stage descriptor its
    own letters. A size has `mm` instead, each number of it in millimetres. `negated` and `uncertain` are of findings.
    """

    kind: Kind
    value: str
    span: Span
    mm: tuple[float, ...] = ()
    negated: bool = False
    uncertain: bool = False


@dataclass(frozen=True, slots=True)
class Label:
    """A label of the tagger for a sentence, and its probability."""

    name: str
    probability: float


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence, what rules find in it, and the tagger's labels; none where no tagger read it."""

    span: Span
    statements: tuple[Statement, ...]
    labels: tuple[Label, ...] | None = None


@dataclass(frozen=True, slots=True)
class Mention:
    """A nodule or mass that a report names, with what its sentence says of it; `sentence` is its place from 0.

    `lobes` and `sides` hold several where the words do, `size_mm` is the longest number of its size. `several` says
    that the words are plural. `span` is that of the noun.
    """

    sentence: int
    span: Span
    term: str
    size_mm: float | None = None
    lobes: tuple[str, ...] = ()
    sides: tuple[Side, ...] = ()
    attenuations: tuple[str, ...] = ()
    negated: bool = False
    uncertain: bool = False
    several: bool = False
