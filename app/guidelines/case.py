"""What guidelines ask about: nodules as measured, how they were found, and what is known of the patient."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from typing import Final, Literal

from app.inference.prediction import AttenuationClass, Measured

Sex = Literal["male", "female"]
Smoking = Literal["never", "former", "current"]
KnownCancer = Literal["none", "past", "recent"]
Purpose = Literal["screening", "incidental"]

JUST_BELOW: Final = 1e-6  # a border itself belongs to the upper row


@dataclass(frozen=True, slots=True)
class Context:
    """What is known of the patient and of why the scan was made; None where it is not.

    `smoking` is of cigarettes. `family_history` is of lung cancer. `known_cancer` is `past` for one outside the chest
    more than five years ago and `recent` for any other. `nodules` is how many there are in the lungs and `upper_lobe`
    whether the nodule lies in one: for an image that does not show it.
    """

    age_years: int | None = None
    sex: Sex | None = None
    smoking: Smoking | None = None
    family_history: bool | None = None
    known_cancer: KnownCancer | None = None
    emphysema: bool | None = None
    immunosuppressed: bool | None = None
    purpose: Purpose | None = None
    nodules: int | None = None
    upper_lobe: bool | None = None

    def __post_init__(self) -> None:
        if self.age_years is not None and not 0 <= self.age_years <= 120:
            raise ValueError("an age is from 0 to 120 years")
        if self.nodules is not None and not 1 <= self.nodules <= 100:
            raise ValueError("nodules are from 1 to 100")

    def known(self) -> dict[str, int | str | bool]:
        """What is known, by name."""
        return {f.name: value for f in fields(self) if (value := getattr(self, f.name)) is not None}


@dataclass(frozen=True, slots=True)
class Nodule:
    """One nodule as measured in mm and mm³, each with its interval.

    `classes` are those that it may be of, the likeliest first. `solid_mm` is the mean diameter of its solid part, None
    where it may not be part-solid. `upper_lobe` is an estimate, None where height does not tell. `spiculated` is None
    where the rating leaves it open. `counts` is False for one that counts for nothing in the decision.
    `earlier` is None where it was not compared with an earlier CT.
    """

    id: int
    mean_mm: Measured
    longest_mm: Measured
    volume_mm3: Measured | None
    classes: tuple[AttenuationClass, ...]
    solid_mm: Measured | None = None
    upper_lobe: bool | None = None
    spiculated: bool | None = None
    counts: bool = True
    earlier: Earlier | None = None

    def __post_init__(self) -> None:
        if not self.classes:
            raise ValueError("a nodule is of one class at least")


@dataclass(frozen=True, slots=True)
class Earlier:
    """A nodule in a CT made `days` before, as measured there; None where it was not there yet. `volume_ratio` is its
    volume now by the one then. What is not known is None."""

    days: int | None
    nodule: Nodule | None
    volume_ratio: Measured | None = None

    def __post_init__(self) -> None:
        if self.days is not None and self.days < 1:
            raise ValueError("an earlier scan is a day earlier at least")


@dataclass(frozen=True, slots=True)
class Case:
    """The nodules of one image and what is known beside. `whole_lungs`: both lungs were searched from end to end.

    `slice_mm` is the distance of slices in a series, None for a single slice; `earlier_slice_mm` that of the earlier
    series with which it was compared, None where it was compared with none.
    """

    nodules: tuple[Nodule, ...]
    whole_lungs: bool
    slice_mm: float | None = None
    context: Context = field(default_factory=Context)
    earlier_slice_mm: float | None = None

    @property
    def is_compared(self) -> bool:
        """Whether it was compared with an earlier series."""
        return self.earlier_slice_mm is not None

    @property
    def counted(self) -> tuple[Nodule, ...]:
        """Those that count for something."""
        return tuple(nodule for nodule in self.nodules if nodule.counts)

    def how_many(self) -> tuple[int, int] | None:
        """The least and the most nodules there are; None where nobody has looked at the whole lungs."""
        if self.context.nodules is not None:
            return self.context.nodules, self.context.nodules
        if not self.whole_lungs:
            return None
        return max(1, len(self.counted)), max(1, len(self.nodules))


def sizes(measured: Measured | None, borders: tuple[float, ...]) -> Iterator[float]:
    """One size for each row of a table with these borders that the interval touches, the measured value first."""
    if measured is None:
        yield 0.0
        return
    yield measured.value
    yield measured.low
    for border in borders:
        yield from (at for at in (border - JUST_BELOW, border) if measured.low <= at <= measured.high)
    yield measured.high


def possibilities(
    nodule: Nodule, borders: tuple[float, ...], solid_borders: tuple[float, ...], *, longest: bool = False
) -> Iterator[tuple[AttenuationClass, float, float]]:
    """Class, size in mm and size of the solid part in mm: all that a table must be asked for, the likeliest first.

    A solid part is no larger than its nodule.
    """
    whole = nodule.longest_mm if longest else nodule.mean_mm
    for kind in nodule.classes:
        solid = nodule.solid_mm if kind == "part_solid" else None
        for size, part in itertools.product(sizes(whole, borders), sizes(solid, solid_borders)):
            yield kind, size, min(part, size)


def has_grown(now: Measured, before: Measured, more_than: Callable[[float], bool]) -> tuple[bool, ...]:
    """Whether a diameter has grown, by a rule on the millimetres gained: as measured, and then what else both intervals
    allow. Both measurements err by themselves: their errors add up as squares do."""
    gained = now.value - before.value
    less = math.hypot(now.value - now.low, before.high - before.value)
    more = math.hypot(now.high - now.value, before.value - before.low)
    return tuple(dict.fromkeys(more_than(each) for each in (gained, gained - less, gained + more)))
