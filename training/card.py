"""The model card, written from the evaluation; no figure in it is typed by hand.

Headings follow the CHAI applied model card.
"""

from __future__ import annotations

from pathlib import Path

from app.inference.bundle import Interval, Manifest
from training.artefacts import Run
from training.datasets import TRAIT_SCALES
from training.evaluate import Evaluation

MEANINGS = {
    "auc": "suspicious against benign",
    "auc_diameter_alone": "baseline: the nodule's diameter and nothing else",
    "auc_gain_over_diameter": "difference of the two, paired by resample",
    "size_matched_auc": "pairs whose diameters differ by at most the configured millimetre: what is seen beyond size",
    "size_matched_auc_diameter_alone": "baseline on the same pairs",
    "sensitivity": "at the operating point",
    "specificity": "at the operating point",
    "sensitivity_diameter_alone": "baseline, its threshold chosen in the same way",
    "specificity_diameter_alone": "baseline, its threshold chosen in the same way",
    "brier": "mean squared error of the probability",
    "ece": "mean gap between stated and observed probability",
    "coverage_suspicious": "suspicious nodules whose prediction set holds that label",
    "coverage_benign": "benign nodules whose prediction set holds that label",
    "decided": "nodules that are not answered with indeterminate",
    "correct_when_decided": "of those, answered as the readers' median did",
    "auc_with_indeterminate": "suspicious against all others, the indeterminate ones included",
    "auc_diameter_alone_with_indeterminate": "baseline there",
    "specificity_with_indeterminate": "at the operating point, all others included",
    "indeterminate_called_suspicious": "indeterminate nodules at or above the operating point",
    "auc_any_readers": "suspicious against benign, nodules with fewer readers included",
    "auc_diameter_alone_any_readers": "baseline there",
    "spearman_malignancy": "rank correlation with the readers' mean",
    "dice": "overlap with one reader's outline, all nodules",
    "diameter_error_mm": "mean absolute difference to one reader's outline",
    "diameter_bias_mm": "mean difference, positive when drawn too large",
    "nodule_auc": "nodules against places beside them in the same patches",
    "nodules_kept": "nodules at or above the nodule threshold",
    "negatives_refused": "places beside nodules below it (half of them chosen on vessels, ribs and pleura)",
    "in_distribution": "nodules accepted as in distribution",
    "luna_nodule_auc": "LUNA16 candidates, nodule or not",
    "luna_nodules_kept": "at the nodule threshold",
    "luna_negatives_refused": "at the nodule threshold",
} | {f"spearman_{name}": "rank correlation with the readers' mean" for name in TRAIT_SCALES}


def write_card(path: Path, manifest: Manifest, evaluation: Evaluation, run: Run) -> None:
    """Write MODEL_CARD.md."""
    parts = [_head(manifest), _use(manifest), _data(manifest, run), _metrics(evaluation), _warnings(manifest)]
    path.write_text("\n\n".join([*parts, _reproduce(evaluation)]) + "\n", "utf-8")


def _head(manifest: Manifest) -> str:
    return (
        f"# {manifest.name} {manifest.version}\n\n"
        f"Created {manifest.created:%Y-%m-%d}. {manifest.description}\n\n"
        "**Research use only. Not a medical device.**"
    )


def _use(manifest: Manifest) -> str:
    size, spacing = manifest.input.size_px, manifest.input.spacing_mm
    return (
        f"## Intended use\n\n{manifest.intended_use}\n\n"
        f"Input: one axial CT patch of {size} x {size} pixels of {spacing:g} mm in Hounsfield units, centred on the "
        f"nodule; clipping to {manifest.input.clip_hu[0]:g}…{manifest.input.clip_hu[1]:g} HU is inside the graph.\n\n"
        "## Out of scope\n\n"
        "Anything but axial chest CT; places that are not a lung nodule (`nodule` below "
        f"{manifest.nodule_threshold:.3f}); patches whose embedding lies farther than "
        f"{manifest.out_of_distribution.threshold:.2f} from the training data; whole-scan screening; children; "
        "decisions about a patient."
    )


def _data(manifest: Manifest, run: Run) -> str:
    lines = ["## Training data", "", "| source | licence | patients | items | digest |", "|---|---|---|---|---|"]
    for data in manifest.training_data:
        patients = "not stated" if data.patients is None else str(data.patients)
        lines.append(f"| {data.source} | {data.licence} | {patients} | {data.items} | `{data.digest[:19]}…` |")
    losses = ", ".join(f"{name} {value:.3f}" for name, value in run.losses.items())
    return "\n".join([*lines, "", f"Last training losses: {losses}."])


def _metrics(evaluation: Evaluation) -> str:
    lines = [
        "## Metrics",
        "",
        f"{evaluation.nodules} nodules of {evaluation.patients} patients unless the figure says otherwise "
        f"({evaluation.all_nodules} nodules of {evaluation.all_patients} patients and {evaluation.candidates} "
        f"LUNA16 candidates in all). Protocol: {evaluation.protocol}.",
        "",
        "| figure | value | 95 % interval | meaning |",
        "|---|---|---|---|",
    ]
    return "\n".join(lines + [_line(name, figure) for name, figure in evaluation.figures.items()])


def _line(name: str, figure: Interval) -> str:
    return f"| {name} | {figure.value:.3f} | {figure.low:.3f} to {figure.high:.3f} | {MEANINGS.get(name, '')} |"


def _warnings(manifest: Manifest) -> str:
    point, sets = manifest.operating_point, manifest.conformal
    figures = manifest.performance.figures
    diameter, gain = figures["auc_diameter_alone"], figures["auc_gain_over_diameter"]
    beaten = "better than" if gain.low > 0 else "not distinguishably better than"
    return (
        "## Warnings\n\n"
        "- The labels are radiologists' suspicion from 1 to 5, **not pathology**. A high probability means that "
        "readers would have been suspicious.\n"
        f"- Diameter alone reaches an AUC of {diameter.value:.3f} ({diameter.low:.3f} to {diameter.high:.3f}) here. "
        f"The network ranks {beaten} diameter (gain {gain.value:.3f}, {gain.low:.3f} to {gain.high:.3f}). "
        "Read every figure beside that one; `size_matched_auc` shows what is seen beyond size.\n"
        "- Probability, operating point and prediction sets are fitted on nodules that readers decided on; nodules "
        "with a median of 3 are reported apart and carry no guarantee.\n"
        f"- Operating point {point.threshold:.3f}, chosen for {point.chosen_for}; prediction sets for "
        f"{sets.coverage:.0%} coverage of each class.\n"
        "- Calibration was fitted on networks of the same recipe trained without one fold each, and is applied to "
        "one network trained on all folds.\n"
        "- One slice cannot tell a vessel cut across from a small nodule: `nodule` keeps many such vessels.\n"
        "- The outline was learned from one reader's contour on the slice where the nodule is largest.\n"
        "- LUNA16 candidates carry no pixel spacing; they were trained on as if at 0.7 mm."
    )


def _reproduce(evaluation: Evaluation) -> str:
    return (
        f"## Reproduce\n\n`{evaluation.command}`, then `scripts/train.py` and `scripts/export.py` (docs/training.md)."
    )
