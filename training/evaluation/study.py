"""Everything that figures are measured on: predictions, answers, the nodules themselves and the baselines' scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from app.errors import InputError
from training.data.nodules import Dataset, Nodule
from training.data.ratings import RATED, Ratings
from training.evaluation.baselines import logistic_scores
from training.evaluation.cross_fitting import Answers, cross_fitted, cross_fitted_candidates
from training.evaluation.held_out import HeldOut, HeldOutCandidates, truth_of
from training.evaluation.metrics import Flags, Floats
from training.evaluation.readers import ReaderPairs, pair_readers
from training.fitting.config import Config, InputConfig


class PredictionsDiffer(InputError):
    """Stored predictions are of other nodules than the data's."""


@dataclass(frozen=True, slots=True, eq=False)
class Study:
    """All of the same nodules in the same order: N entries each. `candidates_called` belongs to `candidates`.

    `logistic` is nan where that baseline is undefined.
    """

    nodules: HeldOut
    answers: Answers
    cases: tuple[Nodule, ...]
    logistic: Floats
    readers: ReaderPairs
    candidates: HeldOutCandidates
    candidates_called: Flags

    def __post_init__(self) -> None:
        counts = {len(self.nodules.fold), len(self.answers.called), len(self.cases), len(self.logistic)}
        if len(counts) != 1:
            raise ValueError(f"predictions, answers, nodules and baseline differ in number: {sorted(counts)}")


def cross_validated(
    nodules: HeldOut, candidates: HeldOutCandidates, dataset: Dataset, config: Config, ratings: Ratings
) -> Study:
    """The study of a cross-validation: every answer made without the nodule's fold. Raises PredictionsDiffer."""
    cases = in_fold_order(dataset)
    _require_same(nodules, cases)
    answers = cross_fitted(nodules, config)
    called = cross_fitted_candidates(candidates, nodules, config)
    return joined(nodules, answers, cases, candidates, called, config.input, ratings, config.evaluation.min_readers)


def joined(
    nodules: HeldOut,
    answers: Answers,
    cases: tuple[Nodule, ...],
    candidates: HeldOutCandidates,
    called: Flags,
    patch: InputConfig,
    ratings: Ratings,
    min_readers: int,
) -> Study:
    """Add the baselines to predictions and answers."""
    own = {n.nodule_id: np.array(n.malignancy, np.float64) for n in cases}
    # Ratings of another table under the same numbers would compare nodules with strangers.
    known = {k: r for k, r in ratings.items() if k in own and np.array_equal(r[:, RATED.index("malignancy")], own[k])}
    pairs = pair_readers([n.nodule_id for n in cases], known, min_readers)
    return Study(nodules, answers, cases, logistic_scores(cases, patch), pairs, candidates, called)


def in_fold_order(dataset: Dataset) -> tuple[Nodule, ...]:
    """The nodules in the order of `cross_validation.cross_validate`."""
    return tuple(n for fold in dataset.folds for n in dataset.nodules if n.fold == fold)


def _require_same(nodules: HeldOut, cases: tuple[Nodule, ...]) -> None:
    truth = truth_of(cases)
    known = ((getattr(nodules, name), truth[name]) for name in ("patient", "fold", "readers"))
    same = all(np.array_equal(one, other) for one, other in known)
    if not same or not np.array_equal(nodules.true_diameter_mm, truth["true_diameter_mm"], equal_nan=True):
        raise PredictionsDiffer(
            found=f"predictions of {len(nodules.fold)} nodules that are not those of the data ({len(cases)})",
            expected="patient, fold, readers and diameter of every nodule as they were when it was predicted",
            remedy="Give --data the folder that was predicted, or run scripts/evaluate.py without --again.",
        )
