"""How well two series are compared, on pairs made from the whole scans: scans of one day, and balls that grew.

python -m benchmarks.comparisons DATA --out docs/results/comparisons.json --page docs/comparisons.md
python -m benchmarks.comparisons DATA --registration: how the lungs alone are laid over each other; no model is asked

Balls are planted into every scan, 30 mm and more apart, so that their volumes are known. A *coffee break* is the scan
beside itself with other noise, another kernel, thicker slices or in another pose. *Growth* is the scan with the balls
beside one with more noise in which they have a known multiple of their volume; the other way round they shrink.
The shipped models judge. They may have learned from the nodules of these scans, never from the balls. Deterministic.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from app.cli.models import verified_registry
from app.comparison.compare import Scan, compare
from app.comparison.growth import GROWTH, SHRINKAGE, Verdict
from app.comparison.lung_shape import lung_shape
from app.comparison.lung_shape import moved as transformed
from app.comparison.patients import HeaderFacts
from app.comparison.registration import align
from app.imaging.ct import PointMm
from app.imaging.read import quiet_decoders
from app.imaging.volume import CTVolume
from app.judgement.comparing import judged_scan
from app.judgement.judge import Judge
from app.judgement.parameters import Parameters
from app.settings import Settings
from app.telemetry import Metrics
from benchmarks.proportions import in_words
from benchmarks.scan.known import SCANS, read_known
from benchmarks.scan.room import Room
from benchmarks.scan_pairs import CHANGES, GROWN, PlantedBall, motion_of, moved, place_mm, with_balls
from benchmarks.serving.report import filled
from training.data.scans import Scan as WholeScan

SEED: Final = 20261130
DIAMETERS_MM: Final = (6.0, 8.0, 10.0, 12.0, 16.0, 20.0)
FACTORS: Final = (1.5, 2.0, 3.0)  # of the volume
BETWEEN_MM: Final = 30.0  # the surfaces of two balls, grown
TARGET: Final = 0.95  # of the pairs of one day that must not differ by GROWTH
ON_IT_MM: Final = 5.0  # a finding so near to a ball's middle is of it
BEGIN: Final = "<!-- figures: make comparisons -->"

Judged = Callable[[CTVolume], Scan]


class Frozen(BaseModel):
    """Immutable, and read back only as it was written."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Outcome(Frozen):
    """One nodule in one pair: what was said, the volume ratio that was measured and the one that is true, and the
    diameter of the ball before, None for a nodule of the scan itself."""

    scan: str
    pair: str
    verdict: Verdict
    ratio: float | None
    true_ratio: float
    diameter_mm: float | None


class Registration(Frozen):
    """A scan that was moved: how far its lungs at most, by how much that was missed at most, and their overlap."""

    scan: str
    moved_mm: float
    error_mm: float
    overlap: float


class Appearance(Frozen):
    """What was said of a ball that only one of both scans has; None where that has no finding on it that counts."""

    scan: str
    true: Literal["new", "gone"]
    diameter_mm: float
    verdict: Verdict | None


class Figures(Frozen):
    """All outcomes; `missed` are balls of a pair that one of both scans has no finding on."""

    outcomes: tuple[Outcome, ...]
    missed: dict[str, int]
    appearances: tuple[Appearance, ...] = ()
    registrations: tuple[Registration, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Sown:
    """A scan with balls, and the balls."""

    name: str
    volume: CTVolume
    balls: tuple[PlantedBall, ...]


def sow(scan: WholeScan, diameters_mm: Sequence[float] = DIAMETERS_MM) -> Sown:
    """Places for balls, the largest first, each with room for it as large as it grows; those without room are left
    out."""
    room, rng, balls = Room.of(scan), np.random.default_rng(SEED), list[PlantedBall]()
    for diameter_mm in sorted(diameters_mm, reverse=True):
        largest_mm = PlantedBall((0, 0, 0), diameter_mm).grown(max(FACTORS)).diameter_mm
        half = [math.ceil(largest_mm / 2 / mm) for mm in scan.volume.spacing_mm]
        offsets = (np.arange(-n, n + 1) * mm for n, mm in zip(half, scan.volume.spacing_mm, strict=True))
        covered = np.linalg.norm(np.meshgrid(*offsets, indexing="ij"), axis=0) <= largest_mm / 2
        for place in itertools.islice(room.free_places(covered, largest_mm / 2, rng), 50):
            ball = PlantedBall(place, diameter_mm)
            if all(_apart_mm(scan.volume, ball, other) >= BETWEEN_MM for other in balls):
                balls.append(ball)
                break
    return Sown(scan.name, scan.volume, tuple(balls))


def coffee_break(sown: Sown, judged: Judged) -> Iterator[tuple[str, Scan, Scan]]:
    """Pairs of one day: what differs, the current and the prior scan."""
    volume = with_balls(sown.volume, sown.balls)
    prior = judged(volume)
    for name, change in CHANGES.items():
        yield name, judged(change(volume)), prior


def growth(sown: Sown, judged: Judged) -> Iterator[tuple[float, Scan, Scan]]:
    """Pairs in which the balls have a multiple of their volume: the factor, the current and the prior scan."""
    scans = {f: judged(GROWN(with_balls(sown.volume, [b.grown(f) for b in sown.balls]))) for f in FACTORS}
    plain = judged(with_balls(sown.volume, sown.balls))
    for factor, grown in scans.items():
        yield factor, grown, plain
        yield 1 / factor, plain, grown


def appearances(sown: Sown, judged: Judged) -> Iterator[Appearance]:
    """What is said of each ball beside the scan without balls and with more noise, before it and after it."""
    with_them, without = judged(with_balls(sown.volume, sown.balls)), judged(GROWN(sown.volume))
    new = [(each.current, each.verdict) for each in compare(with_them, without).nodules]
    gone = [(each.prior, each.verdict) for each in compare(without, with_them).nodules]
    for ball in sown.balls:
        for true, said in (("new", new), ("gone", gone)):
            on_it = (
                verdict
                for finding, verdict in said
                if finding is not None and finding.center_mm is not None and _ball_at(sown, finding.center_mm) == ball
            )
            yield Appearance(scan=sown.name, true=true, diameter_mm=ball.diameter_mm, verdict=next(on_it, None))


def outcomes(
    sown: Sown, pair: str, true_ratio: float, current: Scan, prior: Scan, *, balls_alone: bool
) -> tuple[list[Outcome], int]:
    """What was said of the nodules in both scans, by the balls that the prior's findings lie on; and how many balls
    have no partner."""
    found, seen = [], set[PlantedBall]()
    for nodule in compare(current, prior).nodules:
        if nodule.current is None or nodule.prior is None or nodule.prior.center_mm is None:
            continue
        ball = _ball_at(sown, nodule.prior.center_mm)
        if ball is None and balls_alone:
            continue
        ratio = None if nodule.change is None else nodule.change.ratio.value
        seen |= set() if ball is None else {ball}
        found.append(
            Outcome(
                scan=sown.name,
                pair=pair,
                verdict=nodule.verdict,
                ratio=None if ratio is None else round(ratio, 3),
                true_ratio=round(true_ratio, 3),
                diameter_mm=None if ball is None else ball.diameter_mm,
            )
        )
    return found, len(sown.balls) - len(seen)


def measure(sown: Iterable[Sown], judged: Judged) -> Figures:
    """All pairs of all scans."""
    found: list[Outcome] = []
    missed: Counter[str] = Counter()
    appeared: list[Appearance] = []
    for scan in sown:
        _say(f"{scan.name}: new and gone")
        appeared += appearances(scan, judged)
        for name, current, prior in coffee_break(scan, judged):
            _say(f"{scan.name}: {name}")
            said, without = outcomes(scan, name, 1.0, current, prior, balls_alone=False)
            found, missed[name] = found + said, missed[name] + without
        for factor, current, prior in growth(scan, judged):
            name = f"x {factor:.2f}"
            _say(f"{scan.name}: {name}")
            said, without = outcomes(scan, name, factor, current, prior, balls_alone=True)
            found, missed[name] = found + said, missed[name] + without
    return Figures(outcomes=tuple(found), missed=dict(missed), appearances=tuple(appeared))


def registered(name: str, volume: CTVolume) -> Registration:
    """Lay the lungs of a scan over those of the same scan in another pose."""
    prior, current, motion = lung_shape(volume), lung_shape(moved(volume)), motion_of(volume)
    if prior is None or current is None:
        raise ValueError(f"{name} shows no lungs")
    alignment = align(prior, current)
    places = transformed(prior.to_mm, np.argwhere(prior.mask).astype(np.float64))
    true = transformed(motion, places)
    return Registration(
        scan=name,
        moved_mm=round(float(np.linalg.norm(true - places, axis=1).max()), 2),
        error_mm=round(float(np.linalg.norm(transformed(alignment.matrix, places) - true, axis=1).max()), 2),
        overlap=round(alignment.overlap, 3),
    )


def registration_table(registrations: Iterable[Registration]) -> str:
    """How the lungs alone are laid over each other, as Markdown."""
    head = "| scan in another pose | moved by at most | missed by at most | overlap |\n|---|---|---|---|\n"
    rows = (f"| {r.scan} | {r.moved_mm:.1f} mm | {r.error_mm:.2f} mm | {r.overlap:.2f} |\n" for r in registrations)
    return head + "".join(rows)


def is_right(outcome: Outcome) -> bool:
    """Whether the verdict is that of the true ratio."""
    true = outcome.true_ratio
    wanted = "grew" if true >= GROWTH else "shrank" if true <= SHRINKAGE else "stable"
    return outcome.verdict == wanted


def tables(figures: Figures) -> str:
    """The figures as Markdown."""
    by_pair: dict[str, list[Outcome]] = {}
    for each in figures.outcomes:
        by_pair.setdefault(each.pair, []).append(each)
    same = [each for name in CHANGES for each in by_pair.get(name, [])]
    without = in_words(sum(each.verdict != "grew" for each in same), len(same))
    within = in_words(sum(each.ratio is not None and SHRINKAGE < each.ratio < GROWTH for each in same), len(same))
    head = (
        f"Of nodules in two scans of one day, {without} are not said to have grown (target {TARGET:.2f}); {within} "
        "differ by less than 25 %. Intervals of 95 % as if nodules were independent; each stands in several pairs.\n\n"
        "| scans of one day | nodules | not `grew` | within 25 % | median of the ratio | balls without partner |\n"
        "|---|---|---|---|---|---|\n"
    )
    rows = [_same_row(name, by_pair[name], figures.missed.get(name, 0)) for name in CHANGES if name in by_pair]
    grown = sorted(name for name in by_pair if name not in CHANGES)
    middle = (
        "\n| true volume ratio | balls | right verdict | within the measurement error | median error of the ratio | "
        "balls without partner |\n|---|---|---|---|---|---|\n"
    )
    others = [_grown_row(by_pair[name], figures.missed.get(name, 0)) for name in grown]
    parts = (head, *rows, middle, *others, "\n", appearance_table(figures.appearances), "\n")
    return "".join(parts) + registration_table(figures.registrations)


def appearance_table(figures: Iterable[Appearance]) -> str:
    """What is said of balls that only one scan has, as Markdown."""
    by_truth: dict[str, list[Verdict]] = {"new": [], "gone": []}
    for each in figures:
        if each.verdict is not None:
            by_truth[each.true].append(each.verdict)
    head = "| in one scan alone | found, and count | said so | taken for one in both |\n|---|---|---|---|\n"
    return head + "".join(_appearance_row(true, said) for true, said in by_truth.items())


def _appearance_row(true: str, said: Sequence[Verdict]) -> str:
    others = Counter(each for each in said if each != true)
    words = ", ".join(f"{count} `{verdict}`" for verdict, count in sorted(others.items())) or "none"
    return f"| {true} | {len(said)} | {in_words(len(said) - sum(others.values()), len(said))} | {words} |\n"


def _same_row(name: str, said: Sequence[Outcome], missed: int) -> str:
    ratios = [each.ratio for each in said if each.ratio is not None]
    within = _share(SHRINKAGE < ratio < GROWTH for ratio in ratios)
    grew = _share(each.verdict != "grew" for each in said)
    return f"| {name} | {len(said)} | {grew:.1%} | {within:.1%} | {np.median(ratios):.2f} | {missed} |\n"


def _grown_row(said: Sequence[Outcome], missed: int) -> str:
    errors = [abs(each.ratio / each.true_ratio - 1) for each in said if each.ratio is not None]
    open_ = _share(each.verdict == "within_measurement_error" for each in said)
    right = _share(map(is_right, said))
    true = said[0].true_ratio
    return f"| {true:g} | {len(said)} | {right:.1%} | {open_:.1%} | {np.median(errors):.1%} | {missed} |\n"


def judge_of(registry_settings: Settings) -> Judged:
    """Judges a volume as the service would, and keeps what is compared of it."""
    registry = verified_registry(registry_settings)
    registry.load()
    judge = Judge(registry, Metrics(), max_slices=2000)

    def judged(volume: CTVolume) -> Scan:
        judgement = judge.series(volume, Parameters(), 0.0, lambda *_: None, lambda: False, 0.0)
        return judged_scan(judgement, {}, HeaderFacts(), judge.reader(volume)).scan

    return judged


def main() -> None:
    """Measure on all scans, write the figures, and put them on the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--scans", nargs="+", default=list(SCANS), choices=list(SCANS))
    parser.add_argument("--registration", action="store_true", help="measure and print only how lungs are laid")
    parser.add_argument("--out", type=Path, default=Path("docs/results/comparisons.json"))
    parser.add_argument("--page", type=Path, help="Markdown file whose figures are replaced")
    given = parser.parse_args()
    quiet_decoders()
    scans = {name: read_known(given.data, name).scan for name in given.scans}
    registrations = tuple(registered(name, scan.volume) for name, scan in scans.items())
    if given.registration:
        _say(registration_table(registrations))
        return
    figures = measure(map(sow, scans.values()), judge_of(Settings()))
    figures = figures.model_copy(update={"registrations": registrations})
    given.out.write_text(json.dumps(figures.model_dump(mode="json"), indent=1) + "\n", "utf-8")
    text = tables(figures)
    _say(text)
    if given.page is not None:
        given.page.write_text(filled(given.page.read_text("utf-8"), text, BEGIN), "utf-8")


def _ball_at(sown: Sown, point_mm: PointMm) -> PlantedBall | None:
    near = [ball for ball in sown.balls if math.dist(place_mm(sown.volume, ball.place), point_mm) <= _reach_mm(ball)]
    return min(near, key=lambda ball: math.dist(place_mm(sown.volume, ball.place), point_mm), default=None)


def _reach_mm(ball: PlantedBall) -> float:
    return max(ball.diameter_mm / 2, ON_IT_MM)


def _apart_mm(volume: CTVolume, one: PlantedBall, other: PlantedBall) -> float:
    """Between the surfaces of two balls, grown."""
    largest = max(FACTORS)
    between = math.dist(place_mm(volume, one.place), place_mm(volume, other.place))
    return between - (one.grown(largest).diameter_mm + other.grown(largest).diameter_mm) / 2


def _share(flags: Iterable[bool]) -> float:
    counted = list(flags)
    return sum(counted) / len(counted) if counted else math.nan


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")


if __name__ == "__main__":
    main()
