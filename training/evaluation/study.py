"""Everything that figures are measured on: predictions, answers, the nodules themselves and the baselines' scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from app.errors import InputError
from training.data.lidc_readers import MAX_READERS
from training.data.nodules import Dataset, Nodule
from training.data.ratings import RATED, Ratings
from training.data.references import Diagnosis, References
from training.evaluation.baselines import logistic_scores
from training.evaluation.cross_fitting import Answers, CandidateAnswers, cross_fitted, cross_fitted_candidates
from training.evaluation.held_out import HeldOut, HeldOutCandidates, truth_of
from training.evaluation.metrics import Floats
from training.evaluation.readers import OutlineAgreement, ReaderPairs, compare_outlines, pair_readers
from training.fitting.config import Config


class PredictionsDiffer(InputError):
    """Stored predictions are of other nodules than the data's."""


@dataclass(frozen=True, slots=True, eq=False)
class Study:
    """All of the same nodules in the same order: N entries each. `candidate_answers` belong to `candidates`.

    `logistic` is nan where that baseline is undefined. `readers` are of the largest patch of each lesion, `agreement`
    is of all patches; `diagnoses` are of patients, not all of whom need be here.
    """

    nodules: HeldOut
    answers: Answers
    cases: tuple[Nodule, ...]
    logistic: Floats
    readers: ReaderPairs
    candidates: HeldOutCandidates
    candidate_answers: CandidateAnswers
    agreement: OutlineAgreement
    diagnoses: Mapping[str, Diagnosis]

    def __post_init__(self) -> None:
        counts = {len(self.nodules.fold), len(self.answers.called), len(self.cases), len(self.logistic)}
        if len(counts) != 1:
            raise ValueError(f"predictions, answers, nodules and baseline differ in number: {sorted(counts)}")


def cross_validated(
    nodules: HeldOut, candidates: HeldOutCandidates, dataset: Dataset, config: Config, references: References
) -> Study:
    """The study of a cross-validation: every answer made without the nodule's fold. Raises PredictionsDiffer."""
    cases = in_fold_order(dataset)
    _require_same(nodules, cases)
    answers = cross_fitted(nodules, config)
    of_candidates = cross_fitted_candidates(candidates, nodules, config)
    return joined(nodules, answers, cases, candidates, of_candidates, config, references)


def joined(
    nodules: HeldOut,
    answers: Answers,
    cases: tuple[Nodule, ...],
    candidates: HeldOutCandidates,
    candidate_answers: CandidateAnswers,
    config: Config,
    references: References,
) -> Study:
    """Add the baselines to predictions and answers."""
    ids = [case.nodule_id for case in cases]
    same = [case for case in cases if _is_rated_by(case, references.ratings)]
    largest = dict(zip(ids, nodules.largest_of_lesion.tolist(), strict=True))
    ratings = {case.nodule_id: references.ratings[case.nodule_id] for case in same if _can_agree(case, largest)}
    outlines = {k: o for case in same if (o := references.outlines.get(k := case.nodule_id)) is not None}
    return Study(
        nodules=nodules,
        answers=answers,
        cases=cases,
        logistic=logistic_scores(cases, config.input),
        readers=pair_readers(ids, ratings, config.evaluation.min_readers),
        candidates=candidates,
        candidate_answers=candidate_answers,
        agreement=compare_outlines(ids, outlines),
        diagnoses=references.diagnoses,
    )


def _is_rated_by(case: Nodule, ratings: Ratings) -> bool:
    """Whether the ratings are the nodule's: those of another table under the same number are a stranger's."""
    given = ratings.get(case.nodule_id)
    return given is not None and np.array_equal(given[:, RATED.index("malignancy")], np.array(case.malignancy))


def _can_agree(case: Nodule, largest: Mapping[int, bool]) -> bool:
    """One patch of each lesion; more marks than LIDC had readers are of lesions that touch, or of one reader twice."""
    return largest[case.nodule_id] and not (case.lesion and case.readers > MAX_READERS)


def in_fold_order(dataset: Dataset) -> tuple[Nodule, ...]:
    """The nodules in the order of `cross_validation.cross_validate`."""
    return tuple(n for fold in dataset.folds for n in dataset.nodules if n.fold == fold)


def _require_same(nodules: HeldOut, cases: tuple[Nodule, ...]) -> None:
    truth = truth_of(cases)
    known = ((getattr(nodules, name), truth[name]) for name in ("patient", "lesion", "fold", "readers", "outlines"))
    same = all(np.array_equal(one, other) for one, other in known)
    if not same or not np.array_equal(nodules.true_diameter_mm, truth["true_diameter_mm"], equal_nan=True):
        raise PredictionsDiffer(
            found=f"predictions of {len(nodules.fold)} nodules that are not those of the data ({len(cases)})",
            expected="patient, lesion, fold, readers, outlines and diameter of every nodule as when it was predicted",
            remedy="Give --data the folder that was predicted, or run scripts/evaluate.py without --again.",
        )
