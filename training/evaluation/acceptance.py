"""Local acceptance: what a bundle claims, beside what a site's own cases say about it.

A check fails only where its interval excludes what the manifest claims: few cases fail nothing, they decide nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict
from scipy.stats import binom, binomtest

from app.inference.bundle import Interval, Manifest
from training.evaluation import metrics
from training.evaluation.cross_fitting import Answers, decided
from training.evaluation.figures import intervals
from training.evaluation.held_out import HeldOut
from training.evaluation.metrics import Flags
from training.evaluation.stated_and_observed import calibration_line, null_ece
from training.evaluation.study import Study
from training.fitting.config import Config

Verdict = Literal["passed", "failed", "too few cases", "no claim"]
Decision = Literal["accepted", "not accepted", "undecided"]
MIN_OF_CLASS: Final = 20  # below, an exact 95 % interval of a share is wider than 0.4: it could not fail anything
CHANCE: Final = 0.5  # AUC; what a manifest claims below is no claim
REJECTED: Final = 0.05  # more nodules rejected than this is a claim of no manifest, and no use
WATCHED: Final = 50  # labelled nodules of a class after which a stop rule is looked at
WATCHED_ANSWERS: Final = 200
FALSE_STOP: Final = 0.01  # chance of stopping though nothing has changed


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Check(_Frozen):
    """One claim, what was found with its 95 % interval on `n` nodules, and whether they agree."""

    name: str
    claim: str
    found: Interval | None
    n: int
    verdict: Verdict
    meaning: str


class StopRule(_Frozen):
    """Stop using the bundle, and test again, when `stop_at` of the next `of` are what `watch` says."""

    watch: str
    of: int
    stop_at: int
    expected: float


class Acceptance(_Frozen):
    """Every check, the decision they give together, and the rules that hold from then on."""

    decision: Decision
    checks: tuple[Check, ...]
    stop_rules: tuple[StopRule, ...]


def accept(study: Study, manifest: Manifest, config: Config, *, own_threshold: bool) -> Acceptance:
    """Check the answers of `study` against the manifest; with `own_threshold` it claims nothing at that point."""
    chosen = decided(study.nodules, config)
    nodules, said = study.nodules.where(chosen), study.answers.where(chosen)
    checks = (
        *_ranking(nodules, said, manifest, config),
        *_calibration(nodules, said, config),
        *_shares(nodules, said, study.answers, manifest, own_threshold=own_threshold),
    )
    return Acceptance(decision=decide(checks), checks=checks, stop_rules=tuple(_stop_rules(checks, manifest)))


def decide(checks: Sequence[Check]) -> Decision:
    """Not accepted when a check failed; undecided when one had too few cases."""
    verdicts = {check.verdict for check in checks}
    if "failed" in verdicts:
        return "not accepted"
    return "undecided" if "too few cases" in verdicts else "accepted"


def share_interval(flags: Flags) -> Interval | None:
    """A share with its exact 95 % interval (Clopper and Pearson 1934), which does not collapse without an error."""
    if not len(flags):
        return None
    test = binomtest(int(flags.sum()), len(flags))
    low, high = test.proportion_ci(0.95)
    return Interval(value=float(flags.mean()), low=float(low), high=float(high))


def _ranking(n: HeldOut, said: Answers, manifest: Manifest, config: Config) -> Iterator[Check]:
    y, p, d, few = n.suspicious, said.probability, n.true_diameter_mm, _few(n)
    table: dict[str, metrics.Metric] = {"auc": lambda i: metrics.auc(y[i], p[i])}
    if np.isfinite(d).all():
        table["gain"] = lambda i: metrics.auc(y[i], p[i]) - metrics.auc(y[i], d[i])
        table["diameter"] = lambda i: metrics.auc(y[i], d[i])
    found = intervals(table, n.patient.tolist(), config)
    claimed = manifest.performance.figures.get("auc")
    yield _check(
        "AUC",
        "none" if claimed is None else f"{_said(claimed)} in the manifest",
        found.get("auc"),
        len(y),
        None if claimed is None else _holds(found.get("auc"), at_least=max(claimed.low, CHANCE)),
        "suspicious against benign nodules; fails where it lies wholly below the manifest's interval, or below 0.5",
        few=few,
    )
    alone = found.get("diameter")
    yield _check(
        "AUC above diameter alone",
        "none: not all diameters are known" if alone is None else f"at least 0; diameter alone has {_said(alone)}",
        found.get("gain"),
        len(y),
        None if alone is None else _holds(found.get("gain"), at_least=0.0),
        "fails where the network ranks worse than size does",
        few=few,
    )


def _calibration(n: HeldOut, said: Answers, config: Config) -> Iterator[Check]:
    y, p, few, bins = n.suspicious, said.probability, _few(n), config.evaluation.ece_bins
    table: dict[str, metrics.Metric] = {
        "slope": lambda i: calibration_line(y[i], p[i])[0],
        "ece": lambda i: metrics.expected_calibration_error(y[i], p[i], bins),
    }
    found = intervals(table, n.patient.tolist(), config)
    slope, ece = found.get("slope"), found.get("ece")
    yield _check(
        "calibration slope",
        "1",
        slope,
        len(y),
        # Without a slope the network says the same about all, unless a class is missing: few cases, then.
        False if slope is None and not few else None if slope is None else slope.low <= 1 <= slope.high,
        "below 1: probabilities are too extreme here; above 1: too timid",
        few=few,
    )
    null = null_ece(p, bins, config.seed) if len(y) else None
    yield _check(
        "expected calibration error",
        "none" if null is None else f"a perfectly calibrated model has {null.value:.3f} here, up to {null.high:.3f}",
        ece,
        len(y),
        None if ece is None or null is None else ece.value <= null.high,
        "mean gap between stated and observed probability; fails where the value, not its interval, lies above that",
        few=few,
    )


def _shares(
    n: HeldOut, said: Answers, everything: Answers, manifest: Manifest, *, own_threshold: bool
) -> Iterator[Check]:
    y, point = n.suspicious, manifest.operating_point
    for name, held in (("suspicious", said.holds_suspicious[y]), ("benign", said.holds_benign[~y])):
        wanted = manifest.conformal.coverage
        yield _share_check(
            f"coverage, {name}", held, f"at least {wanted:.2f}", wanted, f"{name} nodules whose set holds that label"
        )
    claim = (None, None) if own_threshold else (point.sensitivity.low, 1 - point.specificity.low)
    yield _share_check(
        "sensitivity",
        said.called[y],
        "none at the site's own operating point" if own_threshold else _said(point.sensitivity),
        claim[0],
        "suspicious nodules at or above the operating point",
    )
    alarms = Interval(value=1 - point.specificity.value, low=1 - point.specificity.high, high=1 - point.specificity.low)
    yield _share_check(
        "false-alarm rate",
        said.called[~y],
        "none at the site's own operating point" if own_threshold else _said(alarms),
        claim[1],
        "benign nodules at or above the operating point; of slices and scans without a nodule it says nothing",
        upper=True,
    )
    yield _share_check(
        "nodules rejected",
        everything.rejected,
        f"at most {REJECTED:.2f}",
        REJECTED,
        "answered with not_a_nodule or out_of_distribution: images unlike those of training",
        upper=True,
    )


def _share_check(
    name: str, flags: Flags, claim: str, limit: float | None, meaning: str, *, upper: bool = False
) -> Check:
    found = share_interval(flags)
    held = None if limit is None else _holds(found, **({"at_most": limit} if upper else {"at_least": limit}))
    return _check(name, claim, found, len(flags), held, meaning, few=len(flags) < MIN_OF_CLASS)


def _holds(found: Interval | None, at_least: float = -np.inf, at_most: float = np.inf) -> bool | None:
    """Whether the interval reaches into what is claimed."""
    return None if found is None else found.high >= at_least and found.low <= at_most


def _check(
    name: str, claim: str, found: Interval | None, n: int, held: bool | None, meaning: str, *, few: bool
) -> Check:
    """One check; too few cases pass nothing, but what they exclude is excluded."""
    verdict: Verdict = "no claim"
    if held is False:
        verdict = "failed"
    elif held or few:
        verdict = "too few cases" if few else "passed"
    return Check(name=name, claim=claim, found=found, n=n, verdict=verdict, meaning=meaning)


def _few(n: HeldOut) -> bool:
    return min(int(n.suspicious.sum()), int((~n.suspicious).sum())) < MIN_OF_CLASS


def _stop_rules(checks: Sequence[Check], manifest: Manifest) -> Iterator[StopRule]:
    found: Mapping[str, Interval | None] = {check.name: check.found for check in checks}
    missed = 1 - manifest.conformal.coverage
    for name in ("suspicious", "benign"):
        here = found[f"coverage, {name}"]
        rate = missed if here is None else max(missed, 1 - here.value)
        yield stop_rule(f"nodules that turn out {name} and whose prediction set had left that out", WATCHED, rate)
    alarms = found["false-alarm rate"]
    if alarms is not None:
        yield stop_rule("nodules that turn out benign and were at or above the operating point", WATCHED, alarms.value)
    rejected = found["nodules rejected"]
    rate = REJECTED if rejected is None else max(REJECTED, rejected.value)
    yield stop_rule("nodules rejected, whatever they turn out to be", WATCHED_ANSWERS, rate)


def stop_rule(watch: str, of: int, rate: float) -> StopRule:
    """The fewest events of `of` that would come by chance in fewer than FALSE_STOP of cases at `rate`."""
    return StopRule(watch=watch, of=of, stop_at=int(binom.isf(FALSE_STOP, of, rate)) + 1, expected=rate * of)


def _said(figure: Interval) -> str:
    return f"{figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f})"
