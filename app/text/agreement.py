"""Compares the nodules that a report names with findings, by side, size and, coarsely, lobe. It says nothing of
malignancy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from app.text.statements import SIDE_OF_LOBE, Mention, Side

# Two readers' diameters of one nodule differ by up to 2 mm (Bankier et al. 2017, doi 10.1148/radiol.2017162894).
SIZE_TOLERANCE_MM: Final = 2.0
# A report gives the longest diameter, a finding that of the circle of its area: 1.4 times as long at 2 : 1.
LONGEST_TO_CIRCLE: Final = 1.5
# Fissures are oblique: from the lowest quarter of the lung's height up to the highest, every lobe may be met.
UPPER_ONLY_FROM: Final = 0.75
NO_UPPER_BELOW: Final = 0.25

VOWEL_NUMBERS: Final = ("8", "11 ", "11.", "18 ", "18.")  # an 8 mm nodule

Outcome = Literal["match", "text_only", "finding_only", "denied"]
Basis = Literal["side", "size", "lobe"]


@dataclass(frozen=True, slots=True)
class Place:
    """A finding as it is compared: its number, diameter in mm, side, and height within the lungs (0 at their lowest
    slice, 1 at their highest); None where it is not known."""

    finding: int
    diameter_mm: float | None
    side: Side | None
    height: float | None


@dataclass(frozen=True, slots=True)
class Agreement:
    """A nodule of the report and a finding that fit, or one of the two alone; `mention` is its place in the report's
    list. `denied` is a finding that the report says is not there. `basis` is what could be compared."""

    outcome: Outcome
    mention: int | None
    finding: int | None
    basis: tuple[Basis, ...]
    message: str


def possible_lobes(side: Side | None, height: float | None) -> frozenset[str]:
    """The lobes in which a point of that side and height may lie.

    Without the fissures this is coarse, and errs on the side of too many lobes: only the top quarter of a lung is
    taken for upper lobe alone, and of the lowest quarter only the right upper lobe is ruled out, since the lingula
    reaches down to the diaphragm.
    """
    lobes = {lobe for lobe, own in SIDE_OF_LOBE.items() if side in (None, own)}
    if height is None:
        return frozenset(lobes)
    if height >= UPPER_ONLY_FROM:
        return frozenset(lobe for lobe in lobes if lobe.endswith("_upper"))
    return frozenset(lobes - {"right_upper"}) if height < NO_UPPER_BELOW else frozenset(lobes)


def sizes_agree(text_mm: float, finding_mm: float) -> bool:
    """Whether a report's size and a finding's diameter may be of one nodule."""
    return text_mm / LONGEST_TO_CIRCLE - SIZE_TOLERANCE_MM <= finding_mm <= text_mm + SIZE_TOLERANCE_MM


def compare(mentions: Sequence[Mention], places: Sequence[Place]) -> tuple[Agreement, ...]:
    """Each nodule of the report with the finding that fits best, then what is left of either.

    A finding fits where nothing that both state contradicts. Words in the plural take every finding that fits and is
    left. Words of a nodule without size, side and lobe take up an earlier one, and are not compared.
    """
    free = {place.finding: place for place in places}
    found: list[Agreement] = []
    stated = [(n, m) for n, m in enumerate(mentions) if not m.negated and (m.size_mm or m.sides or m.lobes)]
    for number, mention in sorted(stated, key=lambda each: (each[1].several, each[1].size_mm is None)):
        fitting = _fitting(mention, free.values())
        for place in fitting if mention.several else fitting[:1]:
            del free[place.finding]
            found.append(_matched(number, mention, place))
        if not fitting:
            found.append(_of_text(number, mention))
    denials = [(number, mention) for number, mention in enumerate(mentions) if mention.negated]
    found += [_of_finding(place, denials) for place in free.values()]
    return tuple(sorted(found, key=lambda each: (each.mention is None, each.mention, each.finding)))


def _fitting(mention: Mention, places: Iterable[Place]) -> list[Place]:
    """The findings that do not contradict, the nearest in size first."""
    fits = [place for place in places if _basis(mention, place) is not None]
    return sorted(fits, key=lambda place: (_apart_mm(mention, place), place.finding))


def _apart_mm(mention: Mention, place: Place) -> float:
    both = mention.size_mm is not None and place.diameter_mm is not None
    return abs((mention.size_mm or 0) - (place.diameter_mm or 0)) if both else 0.0


def _basis(mention: Mention, place: Place) -> tuple[Basis, ...] | None:
    """What the two agree in; None where they contradict each other in anything."""
    verdicts: dict[Basis, bool | None] = {
        "side": place.side in mention.sides if mention.sides and place.side else None,
        "size": sizes_agree(mention.size_mm, place.diameter_mm) if mention.size_mm and place.diameter_mm else None,
        "lobe": _lobe_possible(mention, place),
    }
    if False in verdicts.values():
        return None
    return tuple(basis for basis, agrees in verdicts.items() if agrees)


def _lobe_possible(mention: Mention, place: Place) -> bool | None:
    if not mention.lobes or place.height is None:
        return None
    return bool(possible_lobes(place.side, place.height) & set(mention.lobes))


def _matched(number: int, mention: Mention, place: Place) -> Agreement:
    basis = _basis(mention, place) or ()
    in_what = f" in {', '.join(basis)}" if basis else ""
    message = f"The report names {_words(mention)}; finding {place.finding} agrees{in_what}."
    return Agreement("match", number, place.finding, basis, message)


def _of_text(number: int, mention: Mention) -> Agreement:
    return Agreement("text_only", number, None, (), f"The report names {_words(mention)}; no finding agrees.")


def _of_finding(place: Place, denials: Sequence[tuple[int, Mention]]) -> Agreement:
    for number, mention in denials:
        if (basis := _basis(mention, place)) is not None:
            message = f"The report denies {_words(mention)}; finding {place.finding} may be one."
            return Agreement("denied", number, place.finding, basis, message)
    return Agreement("finding_only", None, place.finding, (), f"Finding {place.finding} is not in the report.")


def _words(mention: Mention) -> str:
    """A nodule of the report in the words of its codes; never in those of its text."""
    size = "" if mention.size_mm is None else f"{mention.size_mm:g} mm "
    if mention.several:
        return f"{size}{'masses' if mention.term == 'mass' else 'nodules'}{_where(mention)}"
    article = "an" if size.startswith(VOWEL_NUMBERS) else "a"
    return f"{article} {size}{mention.term}{_where(mention)}"


def _where(mention: Mention) -> str:
    if mention.lobes:
        return f" in the {' or '.join(lobe.replace('_', ' ') for lobe in mention.lobes)} lobe"
    if len(mention.sides) > 1:
        return " in both lungs"
    return f" in the {mention.sides[0]} lung" if mention.sides else ""
