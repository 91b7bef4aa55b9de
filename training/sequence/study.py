"""Compares ways of judging a nodule from its slices, by cross-validation over patients, and calibrates the GRU."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from pydantic import BaseModel, ConfigDict

from app.inference.bundle import Interval
from training.data.nodules import DatasetMalformed
from training.detector.identity import weights_digest
from training.evaluation.metrics import (
    Floats,
    Indices,
    Metric,
    auc,
    bootstrap_all,
    brier,
    expected_calibration_error,
    size_matched_auc,
)
from training.evaluation.stated_and_observed import calibration_line, null_ece
from training.sequence.artefacts import SHIPPED, TrainedSequences
from training.sequence.config import EvaluationConfig
from training.sequence.held_out import GRU, MIDDLE, POOLINGS, WAYS, HeldOutStacks, calibrated, fit_line, held_out
from training.sequence.stacks import read_stacks, require_apart, stacks_digest

COMMAND: Final = "make nodule-sequence"
PROTOCOL: Final = (
    "Five folds of patients. One CNN for each fold sees the masked slices of the other folds' nodules and learns the "
    "mean of all readers' ratings; middle slice, mean, maximum and mean by area are of its logits, the GRU reads its "
    "embeddings; all see the same slices, eight at most. Judged are nodules with three readers and more whose median "
    "is not 3, the largest stack of a lesion: is the median above 3? Intervals are 95 % of resamples of patients; "
    "differences are of the same resamples. Size-matched are the pairs whose diameters differ by 1 mm at most. That "
    "the GRU leaves the embeddings as they are was decided by an earlier measurement on the same nodules: if anything "
    "it flatters the GRU."
)
# What is told apart from what: the GRU from all others, and each pooling from the slice in the middle.
DIFFERENCES: Final = (*((GRU, way) for way in WAYS if way != GRU), *((way, MIDDLE) for way in POOLINGS))


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Line(_Frozen):
    """The calibrated logit is slope * logit + intercept."""

    slope: float
    intercept: float


class SequenceResults(_Frozen):
    """`docs/results/sequence.json`. `calibration` is that of the shipped network, fitted on all held-out logits;
    `probabilities` are figures of cross-fitted ones. `auc`, `size_matched_auc` and their `_differences` are by way of
    judging, or by `one - other`."""

    command: str
    protocol: str
    weights: str
    data: str
    stacks: int
    nodules: int
    suspicious: int
    patients: int
    pairs: int
    auc: dict[str, Interval]
    auc_differences: dict[str, Interval]
    size_matched_auc: dict[str, Interval]
    size_matched_auc_differences: dict[str, Interval]
    calibration: Line
    probabilities: dict[str, Interval]


def measure(trained: TrainedSequences, data: Path, out: Path) -> None:
    """Write the figures of trained networks into the file `out`.

    Raises DatasetMalformed when a network has seen what it is to be judged by, or stacks that are not those under
    `data`, and what `read_stacks` raises.
    """
    if (digest := stacks_digest(data)) != trained.run.data:
        raise DatasetMalformed(
            found=f"stacks {digest}", expected=f"those trained on, {trained.run.data}", remedy="Train again."
        )
    stacks = read_stacks(data)
    require_apart(stacks)
    judged, config = held_out(trained, stacks), trained.run.config
    found = figures(judged, config.evaluation, config.seed)
    slope, intercept = fit_line(judged.scores[GRU], judged.suspicious)
    results = SequenceResults(
        command=COMMAND,
        protocol=PROTOCOL,
        weights=weights_digest(trained.networks[SHIPPED]),
        data=digest,
        stacks=len(stacks),
        nodules=len(judged.patients),
        suspicious=int(judged.suspicious.sum()),
        patients=len(set(judged.patients)),
        pairs=pairs_of_like_size(judged, config.evaluation.size_match_mm),
        calibration=Line(slope=slope, intercept=intercept),
        probabilities=_of_probabilities(judged, config.evaluation, config.seed),
        **found,
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(results.model_dump_json(indent=1) + "\n", "utf-8")


def read_results(path: Path) -> SequenceResults:
    """Read what `measure` wrote; raises OSError without it."""
    return SequenceResults.model_validate_json(path.read_text("utf-8"))


def figures(judged: HeldOutStacks, config: EvaluationConfig, seed: int) -> dict[str, dict[str, Interval]]:
    """AUC and size-matched AUC of each way, and their differences, on the same resamples of patients."""
    y, d = judged.suspicious, judged.diameter_mm

    def of_all(score: Floats, k: Indices) -> float:
        return auc(y[k], score[k])

    def of_like_size(score: Floats, k: Indices) -> float:
        return size_matched_auc(y[k], score[k], d[k], config.size_match_mm)

    table: dict[str, Metric] = {}
    for kind, measured in (("auc", of_all), ("size_matched_auc", of_like_size)):
        for way, score in judged.scores.items():
            table[f"{kind}/{way}"] = partial(measured, score)
        for one, other in DIFFERENCES:
            difference = partial(_difference, measured, judged.scores[one], judged.scores[other])
            table[f"{kind}_differences/{one} - {other}"] = difference
    found = bootstrap_all(table, judged.patients, config.resamples, seed)
    kinds = dict.fromkeys(name.partition("/")[0] for name in table)
    return {kind: _under(found, f"{kind}/") for kind in kinds}


def pairs_of_like_size(judged: HeldOutStacks, within_mm: float) -> int:
    """How many pairs of a suspicious nodule and another are of like size."""
    y, d = judged.suspicious, judged.diameter_mm
    return int((np.abs(d[y][:, None] - d[~y]) <= within_mm).sum())


def _of_probabilities(judged: HeldOutStacks, config: EvaluationConfig, seed: int) -> dict[str, Interval]:
    y, p = judged.suspicious, calibrated(judged.scores[GRU], judged.fold, judged.suspicious)
    measured = bootstrap_all(
        {
            "brier": lambda k: brier(y[k], p[k]),
            "ece": lambda k: expected_calibration_error(y[k], p[k], config.ece_bins),
            "calibration_slope": lambda k: calibration_line(y[k], p[k])[0],
        },
        judged.patients,
        config.resamples,
        seed,
    )
    return {**measured, "ece_if_perfect": null_ece(p, config.ece_bins, seed)}


def _difference(measured: Callable[[Floats, Indices], float], one: Floats, other: Floats, k: Indices) -> float:
    return measured(one, k) - measured(other, k)


def _under(found: Mapping[str, Interval], start: str) -> dict[str, Interval]:
    return {name.removeprefix(start): figure for name, figure in found.items() if name.startswith(start)}
