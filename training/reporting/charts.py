"""The report's charts and pictures, each a PNG in memory. No figure is computed here but for curves.

A chart of which there is nothing to draw is None.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.metrics import roc_curve

from app.imaging.ct import FloatImage
from app.inference.bundle import Interval
from training.data.nodules import INDETERMINATE
from training.data.ratings import RATED
from training.evaluation import metrics
from training.evaluation.cases import cases_of
from training.evaluation.coverage import BINS, CLASSES
from training.evaluation.cross_fitting import DECISIONS, decided
from training.evaluation.figures import intervals
from training.evaluation.metrics import Flags, Floats, Metric
from training.evaluation.results import Evaluation
from training.evaluation.study import Study
from training.evaluation.subgroups import Subgroup
from training.fitting.config import Config
from training.fitting.history import SMOOTHING_STEPS, TOTAL_LOSS, History

NETWORK, DIAMETER, LOGISTIC, READER, GREY = "#1f5a96", "#c46a1b", "#4b8b3b", "#6b4c9a", "#888888"
DECISION_COLOURS = dict(zip(DECISIONS, ("#b3362b", "#d9a441", "#4b8b3b", "#999999"), strict=True))
DOTS_PER_INCH = 110
Place = Literal["lower left", "lower right", "upper right"]
LIMITS_MM = (0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0)
BAND_RESAMPLES = 200  # a curve's band needs no third digit
PICTURE_WINDOW_HU = (-1350.0, 150.0)  # the usual lung window, centre -600 and width 1500


def roc(study: Study, config: Config) -> bytes | None:
    """ROC of the network and the baselines, decided nodules."""
    chosen = decided(study.nodules, config)
    n, logistic = study.nodules.where(chosen), study.logistic[chosen]
    figure, axes = _axes()
    _roc_line(axes, n.suspicious, study.answers.where(chosen).probability, "network", NETWORK)
    _roc_line(axes, n.suspicious, n.true_diameter_mm, "diameter alone", DIAMETER)
    _roc_line(axes, n.suspicious, logistic, "logistic regression on the patch", LOGISTIC)
    sure = study.readers.where(study.readers.decided)
    _roc_line(axes, sure.others_median > INDETERMINATE, sure.one[:, 0], "one reader (others' median)", READER)
    _operating_point(axes, n.suspicious, study.answers.where(chosen).called)
    return _if_drawn(figure, axes)


def case_roc(study: Study, config: Config) -> bytes | None:
    """ROC over patients: each by the nodule that scores highest."""
    chosen = decided(study.nodules, config)
    cases = cases_of(study.nodules.where(chosen), study.answers.where(chosen))
    figure, axes = _axes()
    _roc_line(axes, cases.suspicious, cases.probability, "network", NETWORK)
    _roc_line(axes, cases.suspicious, cases.diameter_mm, "largest diameter alone", DIAMETER)
    _operating_point(axes, cases.suspicious, cases.called)
    return _if_drawn(figure, axes)


def reliability(study: Study, config: Config) -> bytes | None:
    """Observed share of suspicious nodules by stated probability, over the counts."""
    chosen, bins = decided(study.nodules, config), config.evaluation.ece_bins
    y, p = study.nodules.where(chosen).suspicious, study.answers.where(chosen).probability
    if not len(y):
        return None
    place = np.minimum((p * bins).astype(int), bins - 1)
    count = np.bincount(place, minlength=bins)
    held = count > 0
    observed = np.bincount(place, y, bins)[held] / count[held]
    stated = np.bincount(place, p, bins)[held] / count[held]
    figure = Figure(figsize=(5.2, 4.6), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    spread = 1.96 * np.sqrt(observed * (1 - observed) / count[held])
    below, above = np.minimum(spread, observed), np.minimum(spread, 1 - observed)
    upper.errorbar(stated, observed, (below, above), fmt="o-", color=NETWORK, capsize=2)
    upper.plot([0, 1], [0, 1], color=GREY, lw=0.8, ls=":")
    upper.set(ylabel="observed share suspicious", xlim=(-0.01, 1.01), ylim=(-0.02, 1.02))
    lower.bar((np.arange(bins) + 0.5) / bins, count, 0.9 / bins, color=NETWORK)
    lower.set(xlabel="stated probability", ylabel="nodules")
    return _png(figure)


def size_matched(study: Study, config: Config) -> bytes | None:
    """AUC over pairs of like size, by the difference in diameter that is allowed."""
    chosen = decided(study.nodules, config)
    n = study.nodules.where(chosen)
    scores = {"network": study.answers.where(chosen).probability, "diameter alone": n.true_diameter_mm,
              "logistic regression on the patch": study.logistic[chosen]}  # fmt: skip
    figure, axes = _axes()
    for (label, score), colour in zip(scores.items(), (NETWORK, DIAMETER, LOGISTIC), strict=True):
        known = _matched(n.suspicious, score, n.true_diameter_mm, n.patient.tolist(), config)
        if known:
            limits, found = list(known), list(known.values())
            axes.plot(limits, [f.value for f in found], "o-", ms=3, color=colour, label=label)
            axes.fill_between(limits, [f.low for f in found], [f.high for f in found], color=colour, alpha=0.15, lw=0)
    axes.axhline(0.5, color=GREY, lw=0.8, ls=":")
    axes.set(xlabel="allowed difference in diameter, mm", ylabel="AUC over such pairs", xscale="log")
    axes.set_xticks(LIMITS_MM, [f"{limit:g}" for limit in LIMITS_MM], minor=False)
    axes.set_xticks([], minor=True)
    return _if_drawn(figure, axes)


def size_bands(subgroups: Sequence[Subgroup]) -> bytes | None:
    """AUC within each size band beside that of diameter alone."""
    bands = [g for g in subgroups if g.axis == "diameter"]
    figure, axes = _axes()
    for shift, name, label, colour in (
        (-0.1, "auc", "network", NETWORK),
        (0.1, "auc_diameter_alone", "diameter alone", DIAMETER),
    ):
        held = [(k + shift, g.figures[name]) for k, g in enumerate(bands) if name in g.figures]
        _whiskers(axes, held, label, colour)
    axes.axhline(0.5, color=GREY, lw=0.8, ls=":")
    axes.set_xticks(range(len(bands)), [f"{g.name}\n{g.suspicious} of {g.nodules}" for g in bands])
    axes.set(xlabel="suspicious of all in the band", ylabel="AUC within the band", ylim=(0.3, 1.02))
    axes.set(xlim=(-0.5, max(1, len(bands)) - 0.5))
    return _if_drawn(figure, axes, "lower left")


def decisions(counted: Mapping[str, Mapping[str, int]]) -> bytes | None:
    """What is answered, by what the readers thought."""
    if not any(sum(counts.values()) for counts in counted.values()):
        return None
    figure, axes = _axes()
    groups = list(counted)[::-1]
    totals = {group: max(1, sum(counted[group].values())) for group in groups}
    left = np.zeros(len(groups))
    for decision in DECISIONS:
        shares = np.array([counted[group].get(decision, 0) / totals[group] for group in groups])
        axes.barh(range(len(groups)), shares, left=left, color=DECISION_COLOURS[decision], label=decision)
        for k, share in enumerate(shares):
            if share > 0.05:
                axes.text(left[k] + share / 2, k, f"{share:.0%}", ha="center", va="center", color="white", fontsize=9)
        left += shares
    axes.set_yticks(range(len(groups)), [f"{group}\n(n = {sum(counted[group].values())})" for group in groups])
    axes.set(xlabel="share of nodules", xlim=(0, 1))
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.14), ncols=4, fontsize=8, frameon=False)
    return _png(figure)


def coverage(figures: Mapping[str, Interval], wanted: float) -> bytes | None:
    """Share of each class and size whose prediction set holds its label, beside what was promised."""
    figure, axes = _axes()
    for shift, name, colour in ((-0.1, CLASSES[0], NETWORK), (0.1, CLASSES[1], DIAMETER)):
        keys = {k: f"coverage_{name}_{size.name}" for k, size in enumerate(BINS)}
        _whiskers(axes, [(k + shift, figures[key]) for k, key in keys.items() if key in figures], name, colour)
    axes.axhline(wanted, color=GREY, lw=0.8, ls=":")
    axes.set_xticks(range(len(BINS)), [size.words for size in BINS])
    axes.set(xlabel="soft diameter", ylabel="sets that hold the readers' verdict", ylim=(0, 1.02))
    return _if_drawn(figure, axes)


def traits(figures: Mapping[str, Interval]) -> bytes | None:
    """Rank correlation of one reader and of the network with the mean of the other readers."""
    figure, axes = _axes()
    for shift, kind, label, colour in (
        (-0.12, "spearman_against_other_readers", "network", NETWORK),
        (0.12, "spearman_one_reader", "one reader", READER),
    ):
        held = [(k + shift, figures[f"{kind}_{t}"]) for k, t in enumerate(RATED) if f"{kind}_{t}" in figures]
        _whiskers(axes, held, label, colour)
    axes.axhline(0, color=GREY, lw=0.8, ls=":")
    axes.set_xticks(range(len(RATED)), RATED, rotation=35, ha="right")
    axes.set(ylabel="Spearman with the other readers' mean", ylim=(-0.2, 1))
    return _if_drawn(figure, axes)


def learning(histories: Mapping[str, History]) -> bytes | None:
    """The loss of each network by step, a running mean."""
    figure, axes = _axes()
    for name, history in histories.items():
        width = min(SMOOTHING_STEPS, len(history))
        loss = np.convolve([row[TOTAL_LOSS] for row in history], np.ones(width) / width, "valid")
        axes.plot(np.arange(width, len(history) + 1), loss, "o-" if len(loss) == 1 else "-", ms=3, label=name)
    axes.set(xlabel="step", ylabel=f"training loss, mean of up to {SMOOTHING_STEPS} steps")
    return _if_drawn(figure, axes, "upper right")


def picture(hu: FloatImage, outline: FloatImage | None, mask: NDArray[np.floating] | None) -> bytes:
    """A patch in the lung window, one reader's outline and the predicted one on it, where there are any."""
    figure = Figure(figsize=(1.9, 1.9))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(hu, cmap="gray", vmin=PICTURE_WINDOW_HU[0], vmax=PICTURE_WINDOW_HU[1], interpolation="nearest")
    for field, colour in ((outline, DIAMETER), (mask, "#45b3ff")):
        # A contour of nothing, or of everything, is a warning and no line.
        if field is not None and field.min() < 0.5 < field.max():
            axes.contour(field, levels=[0.5], colors=[colour], linewidths=1.2)
    axes.set_axis_off()
    return _png(figure)


def captions(evaluation: Evaluation) -> dict[str, str]:
    """Title of each chart."""
    return {
        "roc": f"ROC, {evaluation.nodules} nodules of {evaluation.patients} patients",
        "case_roc": "ROC over patients, each by the nodule that scores highest",
        "reliability": "Reliability (bars: 95 % interval of a share)",
        "size_matched": "AUC among nodules of like size (band: 95 % interval)",
        "size_bands": "AUC by size band",
        "decisions": "Answers by the readers' verdict",
        "coverage": "What prediction sets cover, by class and size",
        "traits": "Traits against the other readers",
        "learning": "Learning curves, a network each fold",
    }


def _matched(y: Flags, score: Floats, diameter: Floats, patients: list[str], config: Config) -> dict[float, Interval]:
    if not (np.isfinite(score).all() and np.isfinite(diameter).all()):
        return {}

    table: dict[str, Metric] = {str(limit): metrics.LikeSizePairs(y, score, diameter, limit) for limit in LIMITS_MM}
    fewer = min(BAND_RESAMPLES, config.evaluation.resamples)
    quick = config.model_copy(update={"evaluation": config.evaluation.model_copy(update={"resamples": fewer})})
    return {float(limit): found for limit, found in intervals(table, patients, quick).items()}


def _roc_line(axes: Axes, positive: Flags, score: Floats, label: str, colour: str) -> None:
    if len(set(positive.tolist())) == 2 and np.isfinite(score).all():
        wrong, right, _ = roc_curve(positive, score)
        axes.plot(wrong, right, color=colour, label=f"{label}, AUC {metrics.auc(positive, score):.3f}")


def _whiskers(axes: Axes, held: Sequence[tuple[float, Interval]], label: str, colour: str) -> None:
    if held:
        values = np.array([f.value for _, f in held])
        # A percentile interval need not hold its value on few nodules; a bar cannot be negative.
        spread = np.maximum(0, [values - [f.low for _, f in held], np.array([f.high for _, f in held]) - values])
        axes.errorbar([x for x, _ in held], values, spread, fmt="o", color=colour, capsize=3, label=label)


def _operating_point(axes: Axes, positive: Flags, called: Flags) -> None:
    right, wrong = metrics.sensitivity(positive, called), 1 - metrics.specificity(positive, called)
    if np.isfinite([right, wrong]).all():
        axes.plot(wrong, right, "o", color=NETWORK, label=f"operating point {right:.2f} / {1 - wrong:.2f}")
    axes.plot([0, 1], [0, 1], color=GREY, lw=0.8, ls=":")
    axes.set(xlabel="1 - specificity", ylabel="sensitivity", xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))


def _if_drawn(figure: Figure, axes: Axes, place: Place = "lower right") -> bytes | None:
    """The chart with its legend; None where nothing that has a name was drawn."""
    if not axes.get_legend_handles_labels()[0]:
        return None
    axes.legend(loc=place, fontsize=8)
    return _png(figure)


def _axes() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(5.2, 4.6), layout="constrained")
    return figure, figure.subplots()


def _png(figure: Figure) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=DOTS_PER_INCH)
    return stream.getvalue()
