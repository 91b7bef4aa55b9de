"""A case report for people, as plain texts and pictures: what is written as HTML and as PDF alike."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import compress

from app.inference.vocabulary import Language

Pairs = tuple[tuple[str, str], ...]  # a name and what it says


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of texts below the heads of their columns; the rows of `faint` count for nothing."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    faint: frozenset[int] = frozenset()

    def without_empty_columns(self) -> Table:
        """The same without columns in which no row says anything."""
        told = [any(cells) for cells in zip(*self.rows, strict=True)]
        rows = tuple(tuple(compress(row, told)) for row in self.rows)
        return Table(tuple(compress(self.heads, told)), rows, self.faint)


@dataclass(frozen=True, slots=True)
class Picture:
    """A PNG file, and what it shows in words."""

    png: bytes
    words: str


@dataclass(frozen=True, slots=True)
class Card:
    """One finding, or one slice without any: its own probability, what was measured, the slice, and tiles around it. Of
    a nodule in two scans the change of its volume, a table of both, and both scans in one picture."""

    heading: str
    probability: str
    caption: str
    pairs: Pairs
    anatomy: Picture
    tiles: Picture | None
    table: Table | None = None


@dataclass(frozen=True, slots=True)
class Section:
    """Pairs, a table and sentences under a heading."""

    heading: str
    pairs: Pairs = ()
    table: Table | None = None
    sentences: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CasePage:
    """What a report says, from top to bottom. `leading` is the probability in the largest type, empty where there is
    none, and `decision` what stands beside it. `page` is how a page's number is written."""

    language: Language
    title: str
    case: str
    leading: str
    leading_caption: str
    decision: str
    sentences: tuple[str, ...]
    first: tuple[Section, ...]
    cards: tuple[Card, ...]
    last: tuple[Section, ...]
    disclaimer: str
    page: str
