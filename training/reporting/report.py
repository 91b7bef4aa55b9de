"""`report.html`: one self-contained file of charts, tables and the worst errors as pictures.

It shows patients' images and so is written beside the figures, never committed; nodules are named by number only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.inference.bundle import Interval
from training.data.nodules import Nodule
from training.data.table import SOURCE
from training.evaluation.ceilings import CEILING, CEILINGS
from training.evaluation.cross_fitting import decided
from training.evaluation.meanings import MEANINGS
from training.evaluation.metrics import Indices
from training.evaluation.results import EVALUATION_FILE, Evaluation
from training.evaluation.study import Study
from training.evaluation.subgroups import FIGURES, MIN_OF_CLASS
from training.evaluation.targets import Target
from training.fitting.config import Config
from training.fitting.history import History
from training.fitting.samples import nodule_view
from training.reporting import charts, html

REPORT_FILE = "report.html"
WORST = 8  # pictures of each kind of error
Draw = Callable[[Sequence[Nodule]], Sequence[NDArray[np.float32] | None]]  # predicted mask 0-1 of each nodule
Histories = Mapping[str, History]  # the steps of each network's training, by its name


def write_evaluation(
    folder: Path, study: Study, evaluation: Evaluation, config: Config, draw: Draw, histories: Histories
) -> None:
    """Write `evaluation.json` and `report.html` into `folder`, creating it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / EVALUATION_FILE).write_text(evaluation.text, "utf-8")
    (folder / REPORT_FILE).write_text(render(study, evaluation, config, draw, histories), "utf-8")


def summary(evaluation: Evaluation) -> str:
    """Every figure and target as lines of text."""
    lines = [f"warning: {text}" for text in evaluation.warnings]
    lines += [f"{k:48s} {f.value:7.3f}  [{f.low:.3f}, {f.high:.3f}]" for k, f in evaluation.figures.items()]
    return "\n".join([*lines, *(f"{_verdict(t)[0]:13s} {t.name}: {t.wanted}" for t in evaluation.targets)])


def render(study: Study, evaluation: Evaluation, config: Config, draw: Draw, histories: Histories) -> str:
    """The report as HTML."""
    parts = [
        _head(evaluation),
        html.section("Targets", _targets(evaluation.targets)) if evaluation.targets else "",
        html.section("Charts", _charts(study, evaluation, config, histories)),
        html.section("Figures", _figures(evaluation.figures)),
        html.section("Subgroups", _subgroups(evaluation)),
        html.section("Worst errors", _errors(study, config, draw)),
        html.section("Reproduce", f"<p><code>{escape(evaluation.command)}</code></p>"),
    ]
    return html.page(f"Lungscope evaluation: {evaluation.config}", parts)


def worst_errors(study: Study, config: Config) -> tuple[Indices, Indices]:
    """(suspicious nodules thought benign, benign ones thought suspicious), the worst first, decided nodules only."""
    chosen, p = decided(study.nodules, config), study.answers.probability
    missed = np.flatnonzero(chosen & study.nodules.suspicious)
    alarmed = np.flatnonzero(chosen & ~study.nodules.suspicious)
    return missed[np.argsort(p[missed], kind="stable")][:WORST], alarmed[np.argsort(-p[alarmed], kind="stable")][:WORST]


def _head(evaluation: Evaluation) -> str:
    warned = "".join(f'<p class="warning">{escape(text)}</p>' for text in evaluation.warnings)
    protocol = escape(evaluation.protocol[:1].upper() + evaluation.protocol[1:])
    data = ", ".join(f"{escape(name)} <code>{escape(digest[:19])}…</code>" for name, digest in evaluation.data.items())
    return (
        f"<h1>Evaluation: {escape(evaluation.config)}</h1><p><strong>{html.DISCLAIMER}</strong></p>{warned}"
        f"<p>{evaluation.nodules} nodules of {evaluation.patients} patients in the main figures; "
        f"{evaluation.all_nodules} nodules of {evaluation.all_patients} patients{_candidates(evaluation)} "
        f"in all. {protocol}.</p><p>Data: {data}</p>"
        f"<p>{_labels(evaluation)} Read every figure beside that of diameter alone.</p>{_counts(evaluation)}"
    )


def _counts(evaluation: Evaluation) -> str:
    counted = ", ".join(f"{escape(name)}: {count}" for name, count in evaluation.counts.items())
    return f"<p>{counted[:1].upper()}{counted[1:]}.</p>" if counted else ""


def _candidates(evaluation: Evaluation) -> str:
    return f" and {evaluation.candidates} LUNA16 candidates" if evaluation.candidates else ""


def _labels(evaluation: Evaluation) -> str:
    if SOURCE in evaluation.data:
        return "The labels are those of the table: what they rest on is for whoever made it to say."
    return "The labels are radiologists' suspicion, not pathology."


def _targets(targets: Sequence[Target]) -> str:
    rows = []
    for target in targets:
        word, kind = _verdict(target)
        reached = "not measured" if target.reached is None else html.value(target.reached)
        rows.append([escape(target.name), escape(target.wanted), reached, f'<span class="{kind}">{word}</span>'])
    note = "<p>(?): the 95 % interval reaches over the wanted value.</p>"
    return html.table(("target", "wanted", "reached [95 % interval]", ""), rows) + note


def _verdict(target: Target) -> tuple[str, str]:
    if target.met is None:
        return "not measured", ""
    word = "met" if target.met else "not met"
    return (word if target.certain else f"{word} (?)"), "yes" if target.met else "no"


def _charts(study: Study, evaluation: Evaluation, config: Config, histories: Histories) -> str:
    drawn = {
        "roc": charts.roc(study, config),
        "case_roc": charts.case_roc(study, config),
        "reliability": charts.reliability(study, config),
        "size_matched": charts.size_matched(study, config),
        "size_bands": charts.size_bands(evaluation.subgroups),
        "decisions": charts.decisions(evaluation.decisions),
        "coverage": charts.coverage(evaluation.figures, config.calibration.coverage),
        "traits": charts.traits(evaluation.figures),
        "learning": charts.learning(histories),
    }
    titles = charts.captions(evaluation)
    shown = (
        f"<figure>{html.image(png, titles[k])}<figcaption>{titles[k]}</figcaption></figure>"
        for k, png in drawn.items()
        if png is not None
    )
    return f'<div class="grid">{"".join(shown)}</div>'


def _figures(figures: Mapping[str, Interval]) -> str:
    rows = (
        [f"<code>{k}</code>", html.value(f), _ceiling(figures, k), escape(MEANINGS.get(k, ""))]
        for k, f in figures.items()
    )
    heads = ("figure", "value [95 % interval]", "ceiling", "meaning")
    return f"<p>Ceiling: {escape(CEILING)}.</p>{html.table(heads, rows)}"


def _ceiling(figures: Mapping[str, Interval], name: str) -> str:
    bound = CEILINGS.get(name, "")
    return f"{html.value(figures[bound])}<br><small>{bound}</small>" if bound in figures else ""


def _subgroups(evaluation: Evaluation) -> str:
    held = [name for name in FIGURES if any(name in group.figures for group in evaluation.subgroups)]
    rows = []
    for group in evaluation.subgroups:
        counts = f"{group.nodules} / {group.patients} / {group.suspicious}"
        shown = (html.short(group.figures[k]) if k in group.figures else "" for k in held)
        rows.append([escape(group.axis), escape(group.name), counts, *shown])
    heads = ("by", "group", "nodules / patients / suspicious", *(name.replace("_", " ") for name in held))
    note = (
        f"<p>At the thresholds of the whole; median other than 3. What rests on fewer than {MIN_OF_CLASS} nodules of "
        "a class is left out. An interval without width means that no error was seen, not that none can happen.</p>"
    )
    return f'{note}<div class="wide">{html.table(heads, rows, kind="small")}</div>'


def _errors(study: Study, config: Config, draw: Draw) -> str:
    side_mm = config.input.size_px * config.input.spacing_mm
    body = f"<p>{side_mm:g} mm a side, lung window. Orange: one reader's outline. Blue: the predicted one.</p>"
    for title, chosen in zip(
        ("Suspicious, thought benign", "Benign, thought suspicious"), worst_errors(study, config), strict=True
    ):
        masks = draw([study.cases[k] for k in chosen])
        shown = (_case(study, int(k), mask, config) for k, mask in zip(chosen, masks, strict=True))
        body += f'<h3>{title}</h3><div class="cases">{"".join(shown)}</div>'
    return body


def _case(study: Study, k: int, mask: NDArray[np.float32] | None, config: Config) -> str:
    case, view = study.cases[k], nodule_view(study.cases[k], config.input.patch_spec)
    ratings = ", ".join(str(rating) for rating in case.malignancy)
    size = f"{case.diameter_mm:.1f} mm" if math.isfinite(case.diameter_mm) else "diameter unknown"
    text = (
        f"nodule {case.nodule_id}: probability {study.answers.probability[k]:.2f}, "
        f"{study.answers.decisions[k]}; readers {ratings}; {size}"
    )
    png = charts.picture(view.hu, view.outline, mask)
    return f"<figure>{html.image(png, f'nodule {case.nodule_id}')}<figcaption>{escape(text)}</figcaption></figure>"
