"""The model card, written from the manifest and the evaluation; no figure in it is typed by hand.

Headings are those of the CHAI applied model card, schema v0.2 (Coalition for Health AI, mc.chai.org).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from app.inference.bundle import Interval, Manifest
from app.inference.conformal import Conformal
from training.evaluation.ceilings import CEILING, CEILINGS
from training.evaluation.cross_fitting import DECISIONS
from training.evaluation.meanings import MEANINGS, PATHOLOGY, SAFETY, TRAITS, USEFULNESS
from training.evaluation.pathology import GAINS
from training.evaluation.results import Evaluation
from training.evaluation.subgroups import MIN_OF_CLASS, NEEDS, Subgroup
from training.evaluation.targets import Target
from training.fitting.artefacts import Run
from training.reporting.markdown import bullets

DEVELOPER = "The Lungscope developers"
CONTACT = "the issue tracker of the repository this bundle came with"
NOT_STATED = "not stated"
NOTHING = "none"
Heading = tuple[str, str]


def write_card(path: Path, manifest: Manifest, evaluation: Evaluation, run: Run) -> None:
    """Write MODEL_CARD.md."""
    parts = [
        f"# {manifest.name} {manifest.version}\n\n**Research use only. Not a medical device.**",
        _basics(manifest),
        _uses(manifest),
        _warnings(manifest, evaluation),
        _ingredients(manifest, run),
        _metrics(evaluation),
        _resources(evaluation),
    ]
    path.write_text("\n\n".join(parts) + "\n", "utf-8")


def _basics(manifest: Manifest) -> str:
    about = [
        ("Developer", DEVELOPER),
        ("Inquiries or to report an issue", CONTACT),
        ("Release stage", "research; not released for clinical use"),
        ("Release date", f"{manifest.created:%Y-%m-%d}"),
        ("Release version", str(manifest.version)),
        ("Global availability", "wherever the repository is"),
        ("Regulatory approval", NOTHING),
    ]
    words = [
        ("Summary", manifest.description),
        ("Keywords", "lung nodule, computed tomography, malignancy suspicion, conformal prediction, abstention"),
    ]
    return f"## Basic and release information\n\n{_list(about)}\n\n## Model summary\n\n{_list(words)}"


def _uses(manifest: Manifest) -> str:
    size, spacing, (low, high) = manifest.input.size_px, manifest.input.spacing_mm, manifest.input.clip_hu
    how = (
        f"One axial CT patch of {size} x {size} pixels of {spacing:g} mm in Hounsfield units, centred on the nodule; "
        f"clipping to {low:g}…{high:g} HU is inside the graph. The service cuts it from a slice and a point."
    )
    outside = (
        "Anything but axial chest CT; places that are not a lung nodule (`nodule` below "
        f"{manifest.nodule_threshold:.3f}); patches whose embedding lies farther than "
        f"{manifest.out_of_distribution.threshold:.2f} from the training data; whole-scan screening; children; "
        "decisions about a patient. What can be recognised of these is answered with `rejected`."
    )
    uses = [
        ("Intended use and workflow", f"{manifest.intended_use} A person reads every answer beside the image."),
        ("Primary intended users", "researchers, and engineers who connect or compare systems"),
        ("How to use", how),
        ("Targeted patient population", "adults with a nodule on chest CT, as far as the training data stand for them"),
        ("Cautioned out-of-scope settings and use cases", outside),
    ]
    return f"## Uses and directions\n\n{_list(uses)}"


def _warnings(manifest: Manifest, evaluation: Evaluation) -> str:
    point, sets = manifest.operating_point, manifest.conformal
    risks = [
        "The labels are radiologists' suspicion from 1 to 5, **not pathology**. A high probability means that readers "
        "would have been suspicious.",
        *_beside_size(evaluation.figures),
        "Probability, operating point and prediction sets are fitted on nodules that readers decided on; nodules with "
        "a median of 3 are reported apart and carry no guarantee.",
        f"Operating point {point.threshold:.3f}, chosen for {point.chosen_for}; prediction sets for "
        f"{sets.coverage:.0%} coverage of each class{sets_by_size(sets)}.",
        "Calibration was fitted on networks of the same recipe trained without one fold each, and is applied to one "
        "network trained on all folds.",
        "Calibration weighs the size of the network's own outline beside its score. That this pays was seen on these "
        "very figures (docs/decisions/0006): one choice, yes or no.",
        "One slice cannot tell a vessel cut across from a small nodule: `nodule` keeps many such vessels. How many "
        "places of a whole slice are wrongly taken for nodules is not measured here.",
        "The outline was learned from the readers' votes on the slice where the nodule is largest, contour's line "
        "included; of one reader's contour where only that is known.",
        "LUNA16 candidates carry no pixel spacing; they were trained on as if at 0.7 mm.",
        *(f"{text}" for text in evaluation.warnings),
    ]
    biases = [
        "Age, sex, ethnicity and smoking of the patients are not in the training tables: no figure by them exists.",
        *_uneven(evaluation.subgroups),
    ]
    return (
        f"## Warnings\n\n### Known risks and limitations\n\n{bullets(risks)}\n\n"
        f"### Known biases or ethical considerations\n\n{bullets(biases)}\n\n"
        "### Clinical risk level\n\nNot assessed: there is no clinical use."
    )


def sets_by_size(sets: Conformal) -> str:
    """How sets depend on size, and which sizes were pooled."""
    if sets.min_nodules is None:
        return ""
    said = "; ".join(
        f"{label}: "
        + ", ".join(
            f"{size} {quantile:.3f} (n = {n})" if n else f"{size} {quantile:.3f}"
            for size, quantile, n in zip(of.bins, of.quantiles, of.nodules or (0,) * len(of.quantiles), strict=True)
        )
        for label, of in sets.quantiles.items()
    )
    pooled = ", ".join(
        f"{label} at {' and '.join(f'{edge:g}' for edge in of.pooled_mm)} mm"
        for label, of in sets.quantiles.items()
        if of.pooled_mm
    )
    few = f"Sizes with fewer than {sets.min_nodules} nodules of a class are pooled with their neighbours"
    return f" and size (soft diameter). Quantiles of 1 - p: {said}. {few}: {pooled or 'none were'}"


def _beside_size(figures: Mapping[str, Interval]) -> Iterable[str]:
    """How the network compares with size; nothing where diameters are unknown."""
    diameter, gain = figures.get("auc_diameter_alone"), figures.get("auc_gain_over_diameter")
    if diameter and gain:
        beaten = "better than" if gain.low > 0 else "not distinguishably better than"
        yield (
            f"Diameter alone reaches an AUC of {_said(diameter)} here. The network ranks {beaten} diameter (gain "
            f"{_said(gain)}). Read every figure beside that one; `size_matched_auc` shows what is seen beyond size."
        )
    else:
        yield "How far diameter alone would go is not measured: diameters are not known for all nodules."


def _uneven(subgroups: Sequence[Subgroup]) -> Iterable[str]:
    """Where the sensitivity's interval lies below that of the best subgroup of the same kind.

    A subgroup without an error has a bootstrap interval of no width, which nothing can overlap: it is not compared.
    """
    for axis in dict.fromkeys(group.axis for group in subgroups):
        known = {g.name: g.figures["sensitivity"] for g in subgroups if g.axis == axis and "sensitivity" in g.figures}
        held = {name: figure for name, figure in known.items() if figure.low < figure.high}
        if held:
            best = max(held, key=lambda name: held[name].value)
            for name, figure in held.items():
                if figure.high < held[best].low:
                    yield (
                        f"Sensitivity by {axis}: {name} {_said(figure)} lies wholly below {best} {_said(held[best])}."
                    )


def _ingredients(manifest: Manifest, run: Run) -> str:
    facts = [
        ("Outcomes and outputs", "; ".join(f"`{name}`" for name in manifest.outputs) + "; see docs/architecture.md"),
        ("Model type", "multi-task convolutional network with global average pooling into linear heads"),
        ("Foundation models used", NOTHING),
        ("Input data source", "one CT slice as DICOM, picture or array, and a point"),
        ("Output and input data types", "float32 Hounsfield units in; float32 probabilities, ratings and maps out"),
        (
            "Bias mitigation approaches",
            "nodules weighted by readers; sources made alike by blur, noise and compression",
        ),
        ("Ongoing maintenance", "none promised; measure on your own data with scripts/evaluate.py --bundle"),
        ("Security", "the manifest holds the sha256 of every file and is verified before loading"),
    ]
    lines = ["| source | licence | patients | items | split | digest |", "|---|---|---|---|---|---|"]
    for data in manifest.training_data:
        patients = NOT_STATED if data.patients is None else str(data.patients)
        cells = (data.source, data.licence, patients, str(data.items), data.split, f"`{data.digest[:19]}…`")
        lines.append(f"| {' | '.join(cells)} |")
    losses = ", ".join(f"{name} {value:.3f}" for name, value in run.losses.items())
    clear = [
        ("Funding source", NOT_STATED),
        ("Third-party information", "the data sets above"),
        ("Stakeholders consulted", NOTHING),
    ]
    return (
        f"## Trust ingredients\n\n### AI system facts\n\n{_list(facts)}\n\n### Development data characterization\n\n"
        f"{chr(10).join(lines)}\n\nLast training losses: {losses}.\n\n### Transparency\n\n{_list(clear)}"
    )


def _metrics(evaluation: Evaluation) -> str:
    figures = evaluation.figures
    tested = (
        f"{evaluation.nodules} nodules of {evaluation.patients} patients unless the figure says otherwise "
        f"({evaluation.all_nodules} nodules of {evaluation.all_patients} patients and {evaluation.candidates} LUNA16 "
        f"candidates in all). Protocol: {evaluation.protocol}.\n\n"
        f"Command of every figure below: `{evaluation.command}`. Ceiling: {CEILING}."
    )
    counts = [f"{name}: {count}" for name, count in evaluation.counts.items()]
    rest = {name: "" for name in figures if name not in MEANINGS}
    useful = _figures(figures, USEFULNESS | TRAITS | rest)
    return "\n\n".join(
        [
            f"## Key metrics\n\nTest type: internal. {tested}",
            *([f"How many:\n\n{bullets(counts)}"] if counts else []),
            f"### Usefulness, usability and efficacy\n\n{_reading(figures)}\n\n{useful}",
            *_pathology(figures),
            f"### Fairness and equity\n\n{_fairness(evaluation.subgroups)}",
            f"### Safety and reliability\n\n{_safety(evaluation)}\n\n{_figures(figures, SAFETY)}",
            f"### Targets\n\n{_targets(evaluation.targets)}",
        ]
    )


def _pathology(figures: Mapping[str, Interval]) -> Iterable[str]:
    """What became of patients; whether size is beaten there is said by the intervals."""
    known = {name: figure for name, gained in GAINS.items() if (figure := figures.get(gained)) is not None}
    if not known:
        return
    beaten = [name for name, gain in known.items() if gain.low > 0]
    verdict = (
        f"Diameter alone is beaten for {' and '.join(beaten)}."
        if beaten
        else "Neither the network nor the readers are known to beat size here: the intervals hold 0."
    )
    yield (
        "#### What became of patients\n\nPathology and follow-up of patients who were referred for them, by patient; "
        f"never trained on, and nothing was chosen by it. {verdict}\n\n{_figures(figures, PATHOLOGY)}"
    )


def _reading(figures: Mapping[str, Interval]) -> str:
    """The interpretation: the network beside each baseline, in a sentence each."""
    lines = []
    for name, baseline in (("diameter", "diameter alone"), ("logistic_patch", "logistic regression on the patch"),
                           ("one_reader", "one reader judged by the others")):  # fmt: skip
        gain = figures.get(f"auc_gain_over_{name}")
        if gain is not None:
            verdict = "above" if gain.low > 0 else "below" if gain.high < 0 else "not distinguishable from"
            lines.append(f"AUC is {verdict} that of {baseline} (gain {_said(gain)}).")
    return bullets(["Goal: rank suspicious above benign nodules better than their size does.", *lines])


def _fairness(subgroups: Sequence[Subgroup]) -> str:
    if not subgroups:
        return "Not measured."
    shown = [name for name in NEEDS if any(name in group.figures for group in subgroups)]
    lines = [
        "Goal: no subgroup much worse than the whole, at the thresholds of the whole. Nodules with a median other than "
        f"3; what rests on fewer than {MIN_OF_CLASS} nodules of a class is left out.",
        "",
        f"| by | group | nodules | suspicious | {' | '.join(shown)} |",
        "|---" * (4 + len(shown)) + "|",
    ]
    for group in subgroups:
        cells = [_said(group.figures[k], digits=2) if k in group.figures else "" for k in shown]
        counts = f"{group.axis} | {group.name} | {group.nodules} | {group.suspicious}"
        lines.append(f"| {counts} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _safety(evaluation: Evaluation) -> str:
    goal = "Goal: say how sure it is, abstain where it is not, and refuse what it does not know."
    if not evaluation.decisions:
        return goal
    lines = [goal, "", f"| readers' verdict | {' | '.join(DECISIONS)} |", "|---" * (1 + len(DECISIONS)) + "|"]
    for verdict, counts in evaluation.decisions.items():
        lines.append(f"| {verdict} | {' | '.join(str(counts.get(decision, 0)) for decision in DECISIONS)} |")
    return "\n".join(lines)


def _figures(figures: Mapping[str, Interval], meanings: Mapping[str, str]) -> str:
    lines = ["| figure | value | 95 % interval | ceiling | meaning |", "|---|---|---|---|---|"]
    for name, meaning in meanings.items():
        if (figure := figures.get(name)) is not None:
            bound = figures.get(CEILINGS.get(name, ""))
            ceiling = "" if bound is None else _said(bound)
            interval = f"{figure.low:.3f} to {figure.high:.3f}"
            lines.append(f"| {name} | {figure.value:.3f} | {interval} | {ceiling} | {meaning} |")
    return "\n".join(lines)


def _targets(targets: Sequence[Target]) -> str:
    if not targets:
        return "None recorded."
    lines = ["| target | wanted | reached | |", "|---|---|---|---|"]
    for target in targets:
        reached = "not measured" if target.reached is None else _said(target.reached)
        verdict = "" if target.met is None else "met" if target.met else "not met"
        unsure = "" if target.met is None or target.certain else ", interval reaches over"
        lines.append(f"| {target.name} | {target.wanted} | {reached} | {verdict}{unsure} |")
    return "\n".join(lines)


def _resources(evaluation: Evaluation) -> str:
    steps = f"`{evaluation.command}`, then `scripts/train.py` and `scripts/export.py` (docs/training.md)"
    resources = [
        ("Evaluation references", steps),
        ("Clinical trial", NOTHING),
        ("Peer reviewed publications", NOTHING),
        ("Reimbursement status", NOTHING),
        ("Patient consent or disclosure", "see the terms of the data sets above"),
    ]
    sources = "Sources of data and methods are named in the table above, in docs/training.md and in the code."
    return f"## Resources\n\n{_list(resources)}\n\n## Bibliography\n\n{sources}"


def _said(figure: Interval, digits: int = 3) -> str:
    return f"{figure.value:.{digits}f} ({figure.low:.{digits}f} to {figure.high:.{digits}f})"


def _list(pairs: Iterable[Heading]) -> str:
    return "\n".join(f"- **{name}:** {text}" for name, text in pairs)
