"""What this project set itself to reach on cross-validation, and what was reached.

None is above what the labels can carry (docs/decisions/0024-targets-that-labels-can-carry.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel, ConfigDict

from app.inference.bundle import Interval
from training.data.nodules import TRAIT_SCALES


class Target(BaseModel):
    """One target. `met` is by the value; `certain` when the whole 95 % interval lies on that side.

    Both are None where nothing was measured.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    wanted: str
    figure: str
    reached: Interval | None
    met: bool | None
    certain: bool | None


@dataclass(frozen=True, slots=True)
class Goal:
    """`figure` must lie within `low` to `high`; above `low` strictly, by its whole interval, where `surely`."""

    name: str
    wanted: str
    figure: str
    low: float = float("-inf")
    high: float = float("inf")
    surely: bool = False

    def compare(self, figures: Mapping[str, Interval]) -> Target:
        """Compare with what was measured."""
        reached = figures.get(self.figure)
        met = certain = None
        if reached is not None:
            inside = self.low <= reached.value <= self.high
            certain = self._certain(reached, inside=inside)
            met = inside and certain if self.surely else inside
        return Target(name=self.name, wanted=self.wanted, figure=self.figure, reached=reached, met=met, certain=certain)

    def _certain(self, reached: Interval, *, inside: bool) -> bool:
        if inside:
            above = reached.low > self.low if self.surely else reached.low >= self.low
            return above and reached.high <= self.high
        return reached.high < self.low or reached.low > self.high


@dataclass(frozen=True, slots=True)
class WithinChance:
    """`figure` must not lie above the 95 % limit of `null`, the same of a model that is exactly right: a test, so that
    it is met or not without doubt."""

    name: str
    wanted: str
    figure: str
    null: str

    def compare(self, figures: Mapping[str, Interval]) -> Target:
        """Compare with what was measured."""
        reached, null = figures.get(self.figure), figures.get(self.null)
        met = None if reached is None or null is None else reached.value <= null.high
        return Target(
            name=self.name,
            wanted=self.wanted if null is None else f"{self.wanted}, {null.high:.3f} here",
            figure=self.figure,
            reached=reached,
            met=met,
            certain=None if met is None else True,
        )


@dataclass(frozen=True, slots=True)
class Holds:
    """The interval of `figure` must hold `value`: a test, too."""

    name: str
    wanted: str
    figure: str
    value: float

    def compare(self, figures: Mapping[str, Interval]) -> Target:
        """Compare with what was measured."""
        reached = figures.get(self.figure)
        met = None if reached is None else reached.low <= self.value <= reached.high
        certain = None if met is None else True
        return Target(name=self.name, wanted=self.wanted, figure=self.figure, reached=reached, met=met, certain=certain)


GOALS: Final[tuple[Goal | WithinChance | Holds, ...]] = (
    Goal("AUC", "at least 0.96", "auc", low=0.96),
    Goal("size-matched AUC", "at least 0.80", "size_matched_auc", low=0.80),
    Goal("AUC above diameter alone", "interval of the gain above 0", "auc_gain_over_diameter", low=0.0, surely=True),
    Goal(
        "AUC above one reader on the same pairs",
        "interval of the gain above 0",
        "auc_gain_over_one_reader",
        low=0.0,
        surely=True,
    ),
    Goal(
        "size-matched AUC above one reader on the same pairs",
        "interval of the gain above 0",
        "size_matched_auc_gain_over_one_reader",
        low=0.0,
        surely=True,
    ),
    WithinChance(
        "expected calibration error",
        "not above the 95 % limit of a model that is exactly right",
        "ece",
        "ece_if_perfect",
    ),
    Holds("calibration slope", "interval holds 1", "calibration_slope", 1.0),
    Goal("coverage, suspicious", "0.90 ± 0.03", "coverage_suspicious", low=0.87, high=0.93),
    Goal("coverage, benign", "0.90 ± 0.03", "coverage_benign", low=0.87, high=0.93),
    Goal("outline Dice", "at least 0.80", "dice", low=0.80),
    *(
        Goal(
            f"{trait}: Spearman above one reader's",
            "gain at least 0, both against the mean of the other readers",
            f"spearman_gain_over_one_reader_{trait}",
            low=0.0,
        )
        for trait in TRAIT_SCALES
    ),
    Goal("nodule or not, AUC beside LIDC nodules", "at least 0.98", "nodule_auc", low=0.98),
    Goal("nodule or not, AUC on LUNA16 candidates", "at least 0.98", "luna_nodule_auc", low=0.98),
    # Needs the whole service, so it is no figure of an evaluation: tests/test_real_scans.py proves it.
    Goal("images of not-lung-ct rejected", "all of those that decode", "not_lung_ct_rejected", low=1.0),
    Goal("in-distribution nodules rejected, any reason", "at most 0.02", "nodules_rejected", high=0.02),
    Goal("in-distribution nodules called foreign", "at most 0.02", "nodules_out_of_distribution", high=0.02),
)


def compare_targets(figures: Mapping[str, Interval]) -> tuple[Target, ...]:
    """Every target beside what was reached."""
    inside = figures.get("in_distribution")
    known = dict(figures)
    if inside is not None:
        known["nodules_out_of_distribution"] = Interval(
            value=1 - inside.value, low=1 - inside.high, high=1 - inside.low
        )
    return tuple(goal.compare(known) for goal in GOALS)
