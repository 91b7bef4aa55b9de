"""`evaluation.json`: figures with intervals, subgroups, targets, and the calibration that the bundle ships."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict

from app.inference.bundle import Interval
from training.data.nodules import INDETERMINATE, Dataset
from training.data.references import References
from training.evaluation.calcification import calcification_figures, is_calcified
from training.evaluation.ceilings import ceiling_figures
from training.evaluation.coverage import coverage_figures
from training.evaluation.cross_fitting import (
    DECISIONS,
    Calibration,
    any_patch_decided,
    decided,
    fit_calibration,
)
from training.evaluation.evidence_figures import evidence_figures
from training.evaluation.figures import measure
from training.evaluation.held_out import HeldOut, HeldOutCandidates
from training.evaluation.measurable import is_own
from training.evaluation.pathology import diagnosed, pathology_figures
from training.evaluation.study import Study, cross_validated
from training.evaluation.subgroups import Subgroup, measure_subgroups
from training.evaluation.targets import Target, compare_targets
from training.fitting.config import Config
from training.fitting.identity import RECIPE, Facts, recipe_facts

EVALUATION_FILE = "evaluation.json"
HELD_OUT_FILE = "held_out.npz"
GROUPS = ("suspicious", "indeterminate", "benign")
MEASURED_ON = (
    "suspicious is a median rating above 3, benign below; lesions with at least {readers} readers and a median other "
    "than 3, each by its largest patch, unless the figure says otherwise; 95 % intervals from {resamples} bootstrap "
    "resamples of patients (of candidates for luna_*, which carry no patient)"
)
PROTOCOL = (
    "{folds}-fold cross-validation grouped by patient; every nodule judged by a network, calibration and thresholds "
    "fitted without its fold; " + MEASURED_ON
)


class Evaluation(BaseModel):
    """`evaluation.json`. `decisions` counts answers by the readers' verdict, for lesions with enough readers; `counts`
    says on how many cases other figures stand. `recipe` holds every setting that decided networks and calibration, and
    is empty where a bundle was judged.

    What came later than the first version has a default, so that older files can still be exported.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    config: str
    command: str
    protocol: str
    nodules: int
    patients: int
    all_nodules: int
    all_patients: int
    candidates: int
    data: dict[str, str]
    calibration: Calibration
    figures: dict[str, Interval]
    recipe: dict[str, str] = {}
    warnings: tuple[str, ...] = ()
    subgroups: tuple[Subgroup, ...] = ()
    counts: dict[str, int] = {}
    decisions: dict[str, dict[str, int]] = {}
    targets: tuple[Target, ...] = ()

    @property
    def text(self) -> str:
        """The file as it is written."""
        return self.model_dump_json(indent=2) + "\n"


def evaluate(
    nodules: HeldOut,
    candidates: HeldOutCandidates,
    dataset: Dataset,
    config: Config,
    command: str,
    references: References | None = None,
) -> Evaluation:
    """Figures and calibration from held-out predictions. Raises PredictionsDiffer when they are of other nodules."""
    study = cross_validated(nodules, candidates, dataset, config, references or References())
    return evaluate_study(study, dataset, config, command)


def evaluate_study(
    study: Study, dataset: Dataset, config: Config, command: str, warnings: tuple[str, ...] = ()
) -> Evaluation:
    """Figures and calibration of a cross-validation."""
    protocol, fitted = _filled(PROTOCOL, study, config), fit_calibration(study.nodules, config)
    found = describe_study(study, dataset, config, command, protocol, fitted, warnings)
    return found.model_copy(update={"recipe": recipe_of(config)})


def recipe_of(config: Config) -> Facts:
    """Every setting that decides weights and calibration, whatever computes them."""
    facts = recipe_facts(config, RECIPE | {"calibration"})
    return {name: value for name, value in facts.items() if name != "backend"}


def describe_study(
    study: Study,
    dataset: Dataset,
    config: Config,
    command: str,
    protocol: str,
    calibration: Calibration,
    warnings: tuple[str, ...] = (),
) -> Evaluation:
    """Everything that is measured, whoever made the predictions."""
    nodules = study.nodules
    chosen = nodules.where(decided(nodules, config))
    figures = figures_of(study, config)
    return Evaluation(
        config=config.name,
        command=command,
        protocol=protocol,
        nodules=len(chosen.fold),
        patients=len(set(chosen.patient.tolist())),
        all_nodules=len(nodules.fold),
        all_patients=len(set(nodules.patient.tolist())),
        candidates=len(study.candidates.fold),
        data=dict(dataset.digests),
        calibration=calibration,
        figures=figures,
        warnings=warnings,
        subgroups=measure_subgroups(study, config),
        counts=_counts(study, config),
        decisions=_decisions(study, config),
        targets=() if is_own(dataset) else compare_targets(figures),
    )


def figures_of(study: Study, config: Config) -> dict[str, Interval]:
    """Every figure: of the network, of what bounds it, and of what became of patients."""
    parts = (
        measure,
        coverage_figures,
        calcification_figures,
        ceiling_figures,
        pathology_figures,
        evidence_figures,
    )
    return {name: figure for part in parts for name, figure in part(study, config).items()}


def measured_on(study: Study, config: Config) -> str:
    """Which nodules the figures are of, in words."""
    return _filled(MEASURED_ON, study, config)


def _filled(text: str, study: Study, config: Config) -> str:
    wanted = config.evaluation
    folds = len(set(study.nodules.fold.tolist()))
    return text.format(folds=folds, readers=wanted.min_readers, resamples=wanted.resamples)


def _counts(study: Study, config: Config) -> dict[str, int]:
    chosen, agreement = study.nodules.where(decided(study.nodules, config)), study.agreement
    calcified, bare = is_calcified(chosen)
    counts = {
        "suspicious": int(chosen.suspicious.sum()),
        "benign": int((~chosen.suspicious).sum()),
        "calcified": int(calcified.sum()),
        "not calcified": int(bare.sum()),
        "lesions": int(study.nodules.largest_of_lesion.sum()),
        "patches of decided lesions": int(any_patch_decided(study.nodules, config).sum()),
        "pairs of a reader and the others, decided": int(study.readers.decided.sum()),
        "pairs of outlines": len(agreement.pairs),
        "outlines beside a majority of others": len(agreement.ones),
    }
    return counts | diagnosed(study)


def _decisions(study: Study, config: Config) -> dict[str, dict[str, int]]:
    nodules = study.nodules
    read = (nodules.readers >= config.evaluation.min_readers) & nodules.largest_of_lesion
    verdicts = (nodules.suspicious, nodules.median == INDETERMINATE, nodules.median < INDETERMINATE)
    said = study.answers.decisions
    return {
        group: {decision: int(np.sum(read & verdict & (said == decision))) for decision in DECISIONS}
        for group, verdict in zip(GROUPS, verdicts, strict=True)
    }


def read_evaluation(folder: Path) -> Evaluation:
    """Read `evaluation.json`; raises OSError or pydantic.ValidationError."""
    return Evaluation.model_validate_json((folder / EVALUATION_FILE).read_text("utf-8"))
