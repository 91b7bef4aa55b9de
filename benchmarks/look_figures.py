"""From scores to figures of the second look: curves, points, and intervals by bootstrap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from app.inference.bundle import Interval
from app.inference.suspicion import ScanPoint, ScoreRule
from benchmarks.froc import BLOCK_SLICES, PERCENT, RESAMPLES, SEED
from benchmarks.look_cases import Flags, Floats, Looks, SeriesCase
from training.second_look.report import CurvePoint, SeriesFigures

CURVE: Final = tuple(np.arange(-6.0, 10.01, 0.5).tolist())
MARGIN: Final = 0.25  # of the gap in a series: these lesions are large, others score less
ALL_LISTED: Final = -30.0  # below every score: a nodule of 5 mm that the filter knows scores -3
STEP: Final = 0.05  # between the scores that a point is chosen from


@dataclass(frozen=True, slots=True, eq=False)
class SliceScores:
    """One scan: scores of the false findings of each slice with lung, whether the slice is lesion-free, and the best of
    each planted and native nodule, -inf where nothing passes, with its patient."""

    name: str
    false: tuple[Floats, ...]
    lesion_free: Flags
    planted: Floats
    planted_owners: NDArray[np.str_]
    native: Floats
    native_owners: NDArray[np.str_]

    @property
    def alarms(self) -> Floats:
        """The highest score of each lesion-free slice."""
        return np.array([s.max(initial=-np.inf) for s, free in zip(self.false, self.lesion_free, strict=True) if free])


def curve_point(scans: Sequence[SliceScores], score: float) -> CurvePoint:
    """Pooled shares at one score."""
    shares = [
        float((np.concatenate(values) >= score).mean())
        for values in ([s.alarms for s in scans], [s.planted for s in scans], [s.native for s in scans])
    ]
    return CurvePoint(score=score, false_alarms=shares[0], planted=shares[1], native=shares[2])


def curve(scans: Sequence[SliceScores]) -> tuple[CurvePoint, ...]:
    """Pooled shares at every score."""
    return tuple(curve_point(scans, score) for score in CURVE)


def chosen_score(scans: Sequence[SliceScores], share: float, worst: float) -> float:
    """The lowest score, in steps, at which at most `share` of lesion-free slices alarm, and `worst` of any scan's."""
    for score in np.arange(CURVE[0], CURVE[-1], STEP).tolist():
        each = [(s.alarms >= score).mean() for s in scans]
        pooled = (np.concatenate([s.alarms for s in scans]) >= score).mean()
        if pooled <= share and max(each) <= worst:
            return round(float(score), 2)
    return float(CURVE[-1])


def listed_score(scans: Sequence[SliceScores], per_slice: float) -> float:
    """The lowest score, in steps, at which at most so many false findings a slice are listed."""
    false, slices = np.concatenate([f for s in scans for f in s.false]), sum(len(s.false) for s in scans)
    for score in np.arange(CURVE[0], CURVE[-1], STEP).tolist():
        if (false >= score).sum() <= per_slice * slices:
            return round(float(score), 2)
    return float(CURVE[-1])


def pooled_figures(scans: Sequence[SliceScores], at: Sequence[float], suffix: str) -> dict[str, Interval]:
    """False alarms, planted and native sensitivity pooled, each scan at its own score."""
    alarms = [(s.alarms >= score).astype(np.float64) for s, score in zip(scans, at, strict=True)]
    blocks = [np.arange(len(values)) // BLOCK_SLICES for values in alarms]
    return {
        f"false_alarms{suffix}": _by_groups(alarms, blocks),
        **{
            f"{kind}{suffix}": _by_groups(
                [(getattr(s, kind) >= score).astype(np.float64) for s, score in zip(scans, at, strict=True)],
                [np.unique(getattr(s, f"{kind}_owners"), return_inverse=True)[1] for s in scans],
            )
            for kind in ("planted", "native")
        },
    }


def _by_groups(hits: Sequence[Floats], groups: Sequence[NDArray[np.intp]]) -> Interval:
    """A pooled share; resamples draw whole groups within each scan."""
    rng = np.random.default_rng(SEED)
    found, every = np.zeros(RESAMPLES), np.zeros(RESAMPLES)
    for values, group in zip(hits, groups, strict=True):
        if not len(values):
            continue
        sums, sizes = np.bincount(group, values), np.bincount(group)
        drawn = rng.integers(len(sums), size=(RESAMPLES, len(sums)))
        found += sums[drawn].sum(axis=1)
        every += sizes[drawn].sum(axis=1)
    low, high = np.percentile(found / every, PERCENT)
    return Interval(value=float(np.concatenate(hits).mean()), low=float(low), high=float(high))


def series_scores(case: SeriesCase, look: Looks, rule: ScoreRule) -> Floats:
    """Scores (N,) of what passes in a series: means over the three planes."""
    planes = case.fields.shape[1]
    said = look(case.fields.reshape(-1, *case.fields.shape[2:]))
    suspicious, nodule = (logits.reshape(-1, planes).mean(axis=1) for logits in said)
    return np.asarray(rule.score(suspicious, nodule, case.logits), np.float64)


def series_point(series: Sequence[SeriesFigures]) -> ScanPoint:
    """Suspected from MARGIN of the way from the highest false finding to the lowest suspicious lesion where they part,
    else where a series has at most one false one; open from the latter; everything is listed."""
    suspicious = [n.score if n.score is not None else -np.inf for s in series for n in s.lesions if n.suspicious]
    false = -np.sort(-np.concatenate([np.array(s.false_scores) for s in series]))
    highest, lowest = float(false[0]), float(min(suspicious))
    one_each = float(max((s.false_scores[1] for s in series if len(s.false_scores) > 1), default=highest))
    suspected = highest + MARGIN * (lowest - highest) if lowest > highest else float(np.nextafter(one_each, np.inf))
    opened = min(suspected, float(np.nextafter(one_each, np.inf)))
    found = sum(score >= suspected for score in suspicious)
    alarms = [sum(score >= suspected for score in s.false_scores) for s in series]
    return ScanPoint(
        per="series",
        listed_from=ALL_LISTED,
        open_from=opened,
        suspected_from=suspected,
        chosen_for="what the filter lets pass is listed, for its sum lists best; at most one false suspicious finding "
        f"a series, on {len(series)} scans, each judged by a network that did not learn from it: one scan each, chosen "
        "on them, no general claim; sensitivity for their suspicious lesions (interval: Clopper and Pearson), false "
        "alarms with the least and the most of a scan",
        sensitivity=_exact(found, len(suspicious)),
        false_alarms=Interval(value=float(np.mean(alarms)), low=min(alarms), high=max(alarms)),
        scans=len(series),
        nodules=len(suspicious),
    )


def _exact(hits: int, of: int) -> Interval:
    """A proportion with its 95 % interval (Clopper and Pearson 1934)."""
    low = float(beta.ppf(0.025, hits, of - hits + 1)) if hits else 0.0
    high = float(beta.ppf(0.975, hits + 1, of - hits)) if hits < of else 1.0
    return Interval(value=hits / of, low=low, high=high)
