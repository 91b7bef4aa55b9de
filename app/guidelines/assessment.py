"""What a guideline says: the row that a nodule falls in, every row that the measurement allows, and what is missing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from app.guidelines.case import Case

DIGITS: Final = 4  # of a probability 0-1

# What no guideline is told here, by code.
MISSING: Final[dict[str, str]] = {
    "prior_ct": "No earlier CT was compared: growth, new and stable nodules are not assessed.",
    "prior_unused": "The earlier CT is not used here: what growth changes is left to a reader.",
    "not_compared": "It could not be compared with the earlier CT: it is assessed as at a first one.",
    "interval": "How many days lie between both scans is not known.",
    "follow_up_step": "Which of the guideline's later scans this is, is not known.",
    "earlier_category": "The category of the earlier scan is taken from its own measurement, as at a first CT.",
    "slow_growth": "Two scans were compared: slow growth over more of them is left to a reader.",
    "growth": "It grew, and the table has no row for that: what follows is left to a reader.",
    "new_nodule": "It is new, and the guideline has no row for that: it is assessed as at a first CT.",
    "work_up": "Whether it was worked up after the earlier scan is not known.",
    "airway_nodules": "Nodules in airways are not told from others.",
    "atypical_cysts": "Cysts are not assessed.",
    "juxtapleural": "Shape and place beside a pleura or fissure, which may lower the category, are not assessed.",
    "fat_and_calcium_pattern": "Fat and the pattern of calcification are not assessed; calcified is mostly calcium.",
    "nodes_and_metastases": "Lymph nodes and metastases are not assessed.",
    "infection": "Signs of infection or inflammation are not assessed.",
    "whole_lungs": "The lungs were not searched from end to end.",
    "number_of_nodules": "How many nodules there are is not known.",
    "purpose": "Whether the scan is of a screening programme is not known.",
    "age_years": "The age is not known.",
    "sex": "The sex is not known.",
    "smoking": "Smoking is not known.",
    "family_history": "A family history of lung cancer is not known.",
    "known_cancer": "Whether cancer is known is not known.",
    "emphysema": "Whether there is emphysema is not known.",
    "immunosuppressed": "Whether the immune system is suppressed is not known.",
    "lobe": "The lobe is not known.",
    "size_range": "The model is made for nodules of 4 to 30 mm.",
    "calcified": "The model is not made for nodules of calcium.",
    "class": "The rating leaves open whether it is solid, part-solid or non-solid.",
    "lobe_estimated": "The lobe is an estimate from height alone.",
    "spiculation": "The rating leaves spiculation open.",
    "volume": "No volume was used: the slices are too far apart, or there is one alone.",
    "later_steps": "The later steps, which are learned models, are not assessed.",
    "brock": "The probability of the Brock model, on which the category depends, is open.",
}


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a published table: its category, how far up it stands among them, and what puts a nodule there."""

    category: str
    rank: int
    rule: str


@dataclass(frozen=True, slots=True)
class NoduleAssessment:
    """The row of one nodule, every category that is possible (the lowest first), and what this rests on not knowing."""

    nodule: int
    counts: bool
    row: Row
    possible: tuple[str, ...]
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Probability:
    """A model's probability for one nodule: its range over what is not known, and its value where only the size is
    uncertain; None where it cannot be had at all."""

    nodule: int
    counts: bool
    low: float | None
    high: float | None
    value: float | None
    missing: tuple[str, ...] = ()

    @property
    def rounded(self) -> tuple[float | None, float | None, float | None]:
        """Value, low and high with the digits that every format writes."""
        value, low, high = (None if p is None else round(p, DIGITS) for p in (self.value, self.low, self.high))
        return value, low, high


@dataclass(frozen=True, slots=True)
class Assessment:
    """What one guideline says of an image. `applies` is False with a `reason` where it is not made for such a patient;
    `category` is that of the highest nodule that counts, None where none does or the whole lungs would be needed."""

    guideline: str
    source: str
    applies: bool
    reason: str | None
    category: str | None
    possible: tuple[str, ...]
    nodules: tuple[NoduleAssessment, ...] = ()
    probabilities: tuple[Probability, ...] = ()
    missing: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.applies == (self.reason is not None):
            raise ValueError("what does not apply has a reason, and what applies has none")
        of_nodules = [n.missing for n in self.nodules] + [p.missing for p in self.probabilities]
        named = {*self.missing, *(code for missing in of_nodules for code in missing)}
        if unknown := named - set(MISSING):
            raise ValueError(f"nobody says what is missing: {sorted(unknown)}")


def missing_words(code: str) -> str:
    """A code of what is missing, and what it means."""
    return f"{code}: {MISSING[code]}"


def assess_nodule(nodule: int, rows: Sequence[Row], *, counts: bool, missing: Iterable[str] = ()) -> NoduleAssessment:
    """From the rows of all that a nodule may be, the likeliest first."""
    names = {row.category: None for row in sorted(rows, key=lambda row: row.rank)}
    return NoduleAssessment(nodule, counts, rows[0], tuple(names), tuple(dict.fromkeys(missing)))


def overall(
    case: Case, nodules: Sequence[NoduleAssessment], rows: Sequence[Sequence[Row]]
) -> tuple[str | None, tuple[str, ...]]:
    """The category of the highest nodule that counts, and every one that is possible; of a whole scan only.

    `rows` are those of each nodule, as for `assess_nodule`.
    """
    counted = [(n, r) for n, r in zip(nodules, rows, strict=True) if n.counts]
    if not case.whole_lungs or not counted:
        return None, ()
    leading = max((n.row for n, _ in counted), key=lambda row: row.rank)
    least = max(min(row.rank for row in of_one) for _, of_one in counted)
    # No set: rows of one rank would come in another order in every process, and a receipt is of every byte.
    reached = dict.fromkeys(row for _, of_one in counted for row in of_one if row.rank >= least)
    all_rows = sorted(reached, key=lambda row: row.rank)
    return leading.category, tuple({row.category: None for row in all_rows})


def not_for(guideline: str, source: str, reason: str) -> Assessment:
    """What a guideline says of a patient for whom it is not made: nothing."""
    return Assessment(guideline, source, applies=False, reason=reason, category=None, possible=())


def prior_of(case: Case, used: str | None = None) -> tuple[str, ...]:
    """What is missing of an earlier CT: all where none was compared, else `used`, what a guideline that uses it lacks;
    without it, the use."""
    return ("prior_unused" if used is None else used,) if case.is_compared else ("prior_ct",)


def unknown(case: Case, *names: str) -> tuple[str, ...]:
    """Those of the context's fields that are not known."""
    return tuple(name for name in names if getattr(case.context, name) is None)
