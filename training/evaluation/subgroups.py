"""The main figures by size, texture, calcification, manufacturer, number of readers, and what else a site knows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from app.inference.bundle import Interval
from training.data.nodules import INDETERMINATE, TRAIT_SCALES, Nodule
from training.evaluation.calcification import is_calcified
from training.evaluation.cross_fitting import decided
from training.evaluation.figures import finding_figures, intervals, suspicion_figures
from training.evaluation.metrics import Flags
from training.evaluation.study import Study
from training.fitting.config import Config

SIZE_BANDS_MM = ((0.0, 6.0, "< 6 mm"), (6.0, 10.0, "6-10 mm"), (10.0, 20.0, "10-20 mm"), (20.0, np.inf, ">= 20 mm"))
# LIDC's scale names 1 non-solid, 3 part-solid and 5 solid: each mean goes to the nearest of these.
TEXTURES = ((-np.inf, 2.0, "non-solid"), (2.0, 4.0, "part-solid"), (4.0, np.inf, "solid"))
TEXTURE_COLUMN = list(TRAIT_SCALES).index("texture")
NOT_STATED = "not stated"
MIN_OF_CLASS = 10  # a share of fewer nodules says little, and its bootstrap interval collapses
# Each figure and the classes it needs: suspicious, benign, both or any nodules.
NEEDS = {
    "auc": "both",
    "auc_diameter_alone": "both",
    "auprc": "both",
    "size_matched_auc": "both",
    "sensitivity": "suspicious",
    "specificity": "benign",
    "ece": "any",
    "coverage_suspicious": "suspicious",
    "coverage_benign": "benign",
    "set_size": "any",
    "decided": "any",
    "dice": "any",
    "diameter_error_mm": "any",
    "nodules_rejected": "any",
}
FIGURES = tuple(NEEDS)


OwnAxes = Mapping[str, NDArray[np.str_]]
NO_AXES: OwnAxes = MappingProxyType({})


class Subgroup(BaseModel):
    """One subgroup: its nodules (median other than 3), how many are suspicious, and its figures.

    A figure of a class with fewer than `MIN_OF_CLASS` nodules is left out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    axis: str
    name: str
    nodules: int
    patients: int
    suspicious: int
    figures: dict[str, Interval]


def measure_subgroups(study: Study, config: Config, own: OwnAxes = NO_AXES) -> tuple[Subgroup, ...]:
    """Figures of every subgroup that holds a nodule, at the thresholds of the whole."""
    return tuple(_subgroup(study, axis, name, flags, config) for axis, name, flags in select(study, config, own))


def select(study: Study, config: Config, own: OwnAxes = NO_AXES) -> Iterator[tuple[str, str, Flags]]:
    """(axis, name, flags (N,)) of every subgroup; number of readers is the one axis that takes fewer readers in.

    `own` are further axes: a value (N,) of each nodule, "" where it is not stated.
    """
    nodules, chosen = study.nodules, decided(study.nodules, config)
    for axis, values, bands in (
        ("diameter", nodules.true_diameter_mm, SIZE_BANDS_MM),
        ("texture", nodules.true_traits[:, TEXTURE_COLUMN], TEXTURES),
    ):
        for low, high, name in bands:
            yield from _held(axis, name, chosen & (values >= low) & (values < high))
    for axis, texts in {"manufacturer": _manufacturers(study.cases), **own}.items():
        for text in sorted(set(texts.tolist())):
            yield from _held(axis, text or NOT_STATED, chosen & (texts == text))
    calcified, bare = is_calcified(nodules)
    yield from _held("calcification", "calcified", chosen & calcified)
    yield from _held("calcification", "not calcified", chosen & bare)
    known = (nodules.median != INDETERMINATE) & nodules.largest_of_lesion
    for count in np.unique(nodules.readers).tolist():
        yield from _held("readers", str(count), known & (nodules.readers == count))


def _held(axis: str, name: str, flags: Flags) -> Iterator[tuple[str, str, Flags]]:
    if flags.any():
        yield axis, name, flags


def _manufacturers(cases: Sequence[Nodule]) -> NDArray[np.str_]:
    return np.array([case.manufacturer.strip() or NOT_STATED for case in cases])


def _subgroup(study: Study, axis: str, name: str, flags: Flags, config: Config) -> Subgroup:
    n, j = study.nodules.where(flags), study.answers.where(flags)
    table = suspicion_figures(n, j, config) | finding_figures(n, j)
    suspicious, benign = int(n.suspicious.sum()), int((~n.suspicious).sum())
    held = {"suspicious": suspicious, "benign": benign, "both": min(suspicious, benign), "any": len(n.fold)}
    wanted = {k: table[k] for k, classes in NEEDS.items() if k in table and held[classes] >= MIN_OF_CLASS}
    return Subgroup(
        axis=axis,
        name=name,
        nodules=int(flags.sum()),
        patients=len(set(n.patient.tolist())),
        suspicious=suspicious,
        figures=intervals(wanted, n.patient.tolist(), config),
    )
