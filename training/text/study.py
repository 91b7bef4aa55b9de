"""Measures a trained report tagger on the official split `val`, beside a baseline, over its cases."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final  # keras is untyped

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from app.inference.bundle import Interval
from app.text.sentences import sentences_of
from training.data.nodules import DatasetMalformed
from training.evaluation.metrics import Flags, Indices, bootstrap_all
from training.text.artefacts import TrainedTagger
from training.text.baseline import baseline_calls
from training.text.fit import probabilities
from training.text.reports import LABELS, LANGUAGES, Language, Report, of_split, read_reports, reports_digest
from training.text.samples import windows_of

RESAMPLES: Final = 2000
SEED: Final = 20261130
MACRO: Final = "macro_f1"
COMMAND: Final = "make report-tagger"
PROTOCOL: Final = (
    "Weights from the official split train; figures on val, which neither weights nor any choice has seen: 54 reports "
    "of 6 CTs in each language, nine radiologists each. Intervals are 95 % of resamples of the 6 cases (case_guess), "
    "over_reports those of the 54 reports, which are too narrow. A label is said from probability 0.5; macro_f1 is the "
    "mean of the F1 of 8 labels. Baseline: n-grams of characters and logistic regression "
    "(balanced, C 10) on the same split, the strongest n-grams of several on val."
)


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LanguageResults(_Frozen):
    """Figures of one language. `difference` is that of macro_f1, tagger less baseline, on the same resamples."""

    reports: int
    sentences: int
    seen_verbatim: int
    tagger: dict[str, Interval]
    members: list[float]
    over_reports: Interval
    baseline: dict[str, Interval]
    difference: Interval
    boundaries: dict[str, int]


class TaggerResults(_Frozen):
    """`docs/results/report_tagger.json`."""

    command: str
    protocol: str
    cases: int
    weights: str
    data: str
    languages: dict[Language, LanguageResults]


def measure(trained: TrainedTagger, data: Path, out: Path) -> None:
    """Write the figures of a trained tagger into the file `out`.

    Raises DatasetMalformed when its weights have seen a report that is to test them, and what `read_reports` raises.
    """
    reports = read_reports(data)
    require_unseen(trained.run.ids, of_split(reports, "val"))
    results = TaggerResults(
        command=COMMAND,
        protocol=PROTOCOL,
        cases=len(_cases(of_split(reports, "val"))),
        weights=weights_digest(trained.members),
        data=reports_digest(of_split(reports, "val")),
        languages={language: _of_language(trained, reports, language) for language in LANGUAGES},
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(results.model_dump_json(indent=1) + "\n", "utf-8")


def read_results(path: Path) -> TaggerResults:
    """Read what `measure` wrote; raises OSError without it."""
    return TaggerResults.model_validate_json(path.read_text("utf-8"))


def require_unseen(seen: Sequence[str], reports: Sequence[Report]) -> None:
    """Raise DatasetMalformed when one of the reports is among the ids that weights have seen."""
    if leaked := {report.id for report in reports} & set(seen):
        raise DatasetMalformed(
            found=f"{len(leaked)} reports of val among those that the weights have seen",
            expected="weights of the official split train",
            remedy="Train again.",
        )


def weights_digest(members: Sequence[Any]) -> str:
    """sha256 of all weights, in order."""
    digest = hashlib.sha256()
    for network in members:
        for weight in network.get_weights():
            digest.update(weight.tobytes())
    return f"sha256:{digest.hexdigest()[:16]}"


def f1_of(truth: Flags, called: Flags) -> NDArray[np.float64]:
    """F1 of each label (L,) from (N, L) flags; nan for a label that is neither there nor called."""
    both, either = (truth & called).sum(axis=0), truth.sum(axis=0) + called.sum(axis=0)
    return np.asarray(np.divide(2.0 * both, either, out=np.full(truth.shape[1], np.nan), where=either > 0), np.float64)


def _of_language(trained: TrainedTagger, reports: Sequence[Report], language: Language) -> LanguageResults:
    train, val = ([r for r in of_split(reports, s) if r.language == language] for s in ("train", "val"))
    config = trained.run.config
    windows = windows_of(val, trained.run.vocabulary, config.input)
    there = windows.weights > 0
    truth = windows.targets[there] > 0
    called = probabilities(trained.members, windows.ids)[there] >= config.threshold
    single = [probabilities([member], windows.ids)[there] >= config.threshold for member in trained.members]
    base = baseline_calls(train, val, language)
    cases = [str(report.case_guess) for report in val for _ in report.sentences]
    ids = [report.id for report in val for _ in report.sentences]
    figures = bootstrap_all(
        {
            **{f"tagger.{name}": metric for name, metric in _metrics(truth, called).items()},
            **{f"baseline.{name}": metric for name, metric in _metrics(truth, base).items()},
            "difference": lambda k: _macro(truth[k], called[k]) - _macro(truth[k], base[k]),
        },
        cases,
        RESAMPLES,
        SEED,
    )
    known = {sentence for report in train for sentence in report.sentences}
    return LanguageResults(
        reports=len(val),
        sentences=len(truth),
        seen_verbatim=sum(sentence in known for report in val for sentence in report.sentences),
        tagger=_beginning(figures, "tagger."),
        members=[round(_macro(truth, each), 4) for each in single],
        over_reports=bootstrap_all({MACRO: lambda k: _macro(truth[k], called[k])}, ids, RESAMPLES, SEED)[MACRO],
        baseline=_beginning(figures, "baseline."),
        difference=figures["difference"],
        boundaries=boundaries(val),
    )


def boundaries(reports: Sequence[Report]) -> dict[str, int]:
    """How many official sentences the service's own division finds, of how many, and how many it makes."""
    official, own, shared = 0, 0, 0
    for report in reports:
        theirs = Counter("".join(sentence.split()).rstrip("。.") for sentence in report.sentences)
        ours = Counter("".join(report.text[a:b].split()).rstrip("。.") for a, b in sentences_of(report.text))
        official, own, shared = official + theirs.total(), own + ours.total(), shared + (theirs & ours).total()
    return {"official": official, "own": own, "shared": shared}


def _metrics(truth: Flags, called: Flags) -> dict[str, Callable[[Indices], float]]:
    def of_label(place: int) -> Callable[[Indices], float]:
        return lambda k: float(f1_of(truth[k], called[k])[place])

    return {MACRO: lambda k: _macro(truth[k], called[k]), **{label: of_label(n) for n, label in enumerate(LABELS)}}


def _macro(truth: Flags, called: Flags) -> float:
    return float(np.nanmean(f1_of(truth, called)))


def _beginning(figures: Mapping[str, Interval], start: str) -> dict[str, Interval]:
    return {name.removeprefix(start): figure for name, figure in figures.items() if name.startswith(start)}


def _cases(reports: Sequence[Report]) -> set[str]:
    return {str(report.case_guess) for report in reports}
