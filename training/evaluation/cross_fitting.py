"""From held-out predictions to answers: what calibration, thresholds and sets say about each nodule.

Two different things are made of the same predictions. The calibration shipped is fitted on all of them. The figures
are cross-fitted: each fold is answered for by a calibration and thresholds fitted on the other folds only, so nothing
that is reported was tuned on what it is reported on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from app.inference.conformal import Finding, SizeQuantiles
from training.data.nodules import INDETERMINATE
from training.evaluation.calibration import Platt, conformal_quantiles, fit_platt, keep_above, operating_point, sigmoid
from training.evaluation.held_out import HeldOut, HeldOutCandidates
from training.evaluation.metrics import Flags, Floats
from training.fitting.config import Config

DECISIONS = ("cancer_suspected", "indeterminate", "normal", "rejected")


class Calibration(BaseModel):
    """Everything fitted on held-out predictions that the bundle needs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    slope: float
    per_log_mm: float = 0.0
    intercept: float
    threshold: float
    quantiles: dict[Finding, SizeQuantiles]
    nodule_threshold: float
    distance_threshold: float


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """Answers (N,) for the same nodules as the `HeldOut` they belong to."""

    probability: Floats
    called: Flags
    called_by_diameter: Flags
    holds_suspicious: Flags
    holds_benign: Flags
    kept_as_nodule: Flags
    negative_refused: Flags  # False, too, where there is no negative
    negative_called: Flags  # likewise
    in_distribution: Flags

    def where(self, chosen: Flags) -> Self:
        """The same, for some of the nodules."""
        return type(self)(**{name: getattr(self, name)[chosen] for name in self.__slots__})

    @property
    def set_size(self) -> Floats:
        """Labels in each conformal set, 0 to 2."""
        return self.holds_suspicious.astype(np.float64) + self.holds_benign

    @property
    def firm(self) -> Flags:
        """The set holds one label, and it is the one that the operating point gives."""
        return np.asarray((self.set_size == 1) & (self.called == self.holds_suspicious))

    @property
    def rejected(self) -> Flags:
        """Answered with `not_a_nodule` or `out_of_distribution`."""
        return ~(self.kept_as_nodule & self.in_distribution)

    @property
    def decisions(self) -> NDArray[np.str_]:
        """One of `DECISIONS` for each nodule, as serving would answer for its centre."""
        side = np.where(self.called, "cancer_suspected", "normal")
        return np.where(self.rejected, "rejected", np.where(self.firm, side, "indeterminate"))


@dataclass(frozen=True, slots=True, eq=False)
class CandidateAnswers:
    """Answers (M,) about candidates: taken for a nodule, and at or above the operating point."""

    kept_as_nodule: Flags
    called: Flags


def decided(nodules: HeldOut, config: Config) -> Flags:
    """The largest patch of each lesion with enough readers and a median other than 3: what the main figures are
    measured on."""
    return np.asarray(any_patch_decided(nodules, config) & nodules.largest_of_lesion)


def any_patch_decided(nodules: HeldOut, config: Config) -> Flags:
    """Patches with enough readers and a median other than 3, several of a lesion where there are several."""
    return np.asarray((nodules.readers >= config.evaluation.min_readers) & (nodules.median != INDETERMINATE))


def fit_calibration(nodules: HeldOut, config: Config) -> Calibration:
    """Fit everything on the nodules given: suspicion on the decided ones, the other thresholds on all of them."""
    chosen, wanted = nodules.where(decided(nodules, config)), config.calibration
    platt = fit_platt(chosen.malignancy, chosen.soft_diameter_mm, chosen.suspicious)
    probability = platt.probability(chosen.malignancy, chosen.soft_diameter_mm)
    return Calibration(
        slope=platt.slope,
        per_log_mm=platt.per_log_mm,
        intercept=platt.intercept,
        threshold=operating_point(probability, chosen.suspicious, wanted.sensitivity),
        quantiles=conformal_quantiles(probability, chosen.suspicious, chosen.soft_diameter_mm, wanted.coverage),
        nodule_threshold=keep_above(sigmoid(nodules.nodule), wanted.nodules_kept),
        distance_threshold=-keep_above(-nodules.distance, wanted.in_distribution_kept),
    )


def cross_fitted(nodules: HeldOut, config: Config) -> Answers:
    """Answer for each fold by what the other folds decide. A single fold answers for itself (tests only)."""
    answers, order = [], []
    for fold in np.unique(nodules.fold).tolist():
        inside, others = nodules.fold == fold, without_fold(nodules, fold)
        fitted = fit_calibration(others, config)
        answers.append(answer(nodules.where(inside), fitted, diameter_threshold_mm(others, config)))
        order.append(np.flatnonzero(inside))
    back = np.argsort(np.concatenate(order))
    return Answers(**{name: np.concatenate([getattr(a, name) for a in answers])[back] for name in Answers.__slots__})


def without_fold(nodules: HeldOut, fold: int) -> HeldOut:
    """What may decide about `fold`: the nodules of all others; all nodules where there is no other fold."""
    others = nodules.fold != fold
    return nodules.where(others) if others.any() else nodules


def diameter_threshold_mm(nodules: HeldOut, config: Config) -> float:
    """The operating point of the baseline that knows the diameter alone; nan without a suspicious nodule."""
    chosen = nodules.where(decided(nodules, config))
    if not chosen.suspicious.any():
        return float("nan")
    return operating_point(chosen.true_diameter_mm, chosen.suspicious, config.calibration.sensitivity)


def answer(nodules: HeldOut, fitted: Calibration, diameter_threshold_mm: float) -> Answers:
    """Apply calibration and thresholds; the diameter's threshold is that of the baseline."""
    platt = Platt(fitted.slope, fitted.per_log_mm, fitted.intercept)
    probability = platt.probability(nodules.malignancy, nodules.soft_diameter_mm)
    return Answers(
        probability=probability,
        called=probability >= fitted.threshold,
        called_by_diameter=nodules.true_diameter_mm >= diameter_threshold_mm,
        holds_suspicious=1 - probability <= _at(fitted.quantiles["cancer_suspected"], nodules.soft_diameter_mm),
        holds_benign=probability <= _at(fitted.quantiles["normal"], nodules.soft_diameter_mm),
        kept_as_nodule=sigmoid(nodules.nodule) >= fitted.nodule_threshold,
        negative_refused=sigmoid(nodules.negative) < fitted.nodule_threshold,
        negative_called=platt.probability(nodules.negative_malignancy, nodules.negative_soft_mm) >= fitted.threshold,
        in_distribution=nodules.distance <= fitted.distance_threshold,
    )


def _at(quantiles: SizeQuantiles, soft_diameter_mm: Floats) -> Floats:
    return np.array([quantiles.at(diameter) for diameter in soft_diameter_mm.tolist()], np.float64)


def cross_fitted_candidates(candidates: HeldOutCandidates, nodules: HeldOut, config: Config) -> CandidateAnswers:
    """Answer for the candidates of each fold by what the other folds' LIDC nodules decide."""
    found = CandidateAnswers(*(np.zeros(len(candidates.fold), np.bool_) for _ in CandidateAnswers.__slots__))
    for fold in np.unique(candidates.fold).tolist():
        inside = candidates.fold == fold
        said = answer_candidates(candidates.where(inside), fit_calibration(without_fold(nodules, fold), config))
        found.kept_as_nodule[inside], found.called[inside] = said.kept_as_nodule, said.called
    return found


def answer_candidates(candidates: HeldOutCandidates, fitted: Calibration) -> CandidateAnswers:
    """Apply calibration and thresholds."""
    platt = Platt(fitted.slope, fitted.per_log_mm, fitted.intercept)
    probability = platt.probability(candidates.malignancy, candidates.soft_diameter_mm)
    return CandidateAnswers(sigmoid(candidates.nodule) >= fitted.nodule_threshold, probability >= fitted.threshold)
