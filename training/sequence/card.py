"""The recurrent network's model card, written from its manifest and the results; no figure is typed by hand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from app.inference.bundle import Interval
from app.inference.sequence import SequenceManifest
from training.reporting.markdown import bullets
from training.sequence.held_out import GRU, POOLINGS, WAYS
from training.sequence.study import SequenceResults

NAMES: Final[Mapping[str, str]] = {
    "diameter": "diameter of the largest slice",
    "area_profile": "area profile by logistic regression",
    "middle_slice": "middle slice by the CNN",
    "mean": "mean of the CNN's logits",
    "maximum": "maximum of the CNN's logits",
    "weighted_by_area": "mean by area of the CNN's logits",
    "gru": "GRU over the CNN's embeddings",
}
RISKS: Final = (
    "The label is radiologists' suspicion, not pathology; nodules that they rated 3 are left out of every figure.",
    "Diameter alone is nearly the whole label: read every figure beside that of the diameter.",
    "It learned from outlines that a reader drew, and is served those that the classifier draws. What that costs was "
    "only looked at on few nodules (docs/sequence.md).",
    "HU above the clip range are cut off, as they are in the pictures it learned from: calcium looks like soft tissue.",
    "Nodules that the reader who outlined them rated 3 are not among them; half of them have four slices or fewer.",
    "It sees nothing outside the outline, no margin, no pleura, no vessel.",
    "It has seen nothing but nodules: of a vessel that was found it says how suspicious it would be if it were one.",
    "It has no part in the decision. Where it disagrees with the classifier, neither is shown to be right.",
)


def write_sequence_card(path: Path, manifest: SequenceManifest, results: SequenceResults) -> None:
    """Write MODEL_CARD.md."""
    (data,) = manifest.training_data
    parts = [
        f"# {manifest.name} {manifest.version}\n\n**Research use only. Not a medical device.**",
        manifest.description,
        f"## Intended use\n\n{manifest.intended_use}",
        f"## Known risks and limitations\n\n{bullets(RISKS)}",
        f"## Input\n\n{_input(manifest)}",
        f"## Training data\n\n{data.source}. {data.licence}. {data.items} stacks of {data.patients} patients, "
        f"{data.split}.",
        f"## Figures\n\n{results.protocol}\n\n{comparison(results)}",
        f"## Calibration\n\n{calibration_table(results)}",
        f"## Reproduce\n\n`{results.command}`; docs/sequence.md says how it was trained.",
    ]
    path.write_text("\n\n".join(parts) + "\n", "utf-8")


def comparison(results: SequenceResults) -> str:
    """Markdown: each way of judging a nodule with its differences, and in words what they allow to be said."""
    counts = (
        f"{results.nodules} nodules ({results.suspicious} suspicious) of {results.patients} patients; "
        f"{results.pairs} pairs of like size."
    )
    head = "| judged by | AUC | size-matched AUC | AUC, GRU less this | size-matched, GRU less this |"
    lines = [counts, "", head, "|---" * 5 + "|"]
    for way in WAYS:
        name = f"{GRU} - {way}"
        beside = (results.auc_differences, results.size_matched_auc_differences)
        less = " | ".join(signed(each[name]) if name in each else "-" for each in beside)
        lines.append(f"| {NAMES[way]} | {said(results.auc[way])} | {said(results.size_matched_auc[way])} | {less} |")
    return "\n".join([*lines, "", *verdicts(results)])


def verdicts(results: SequenceResults) -> Iterable[str]:
    """What the intervals allow to be said of the GRU, and of each way to read several slices."""
    measured = (("AUC", results.auc_differences), ("size-matched AUC", results.size_matched_auc_differences))
    for kind, differences in measured:
        for way in (GRU, *POOLINGS):
            yield f"- {kind}, {NAMES[way]}: {compared(way, differences)}."


def compared(way: str, differences: Mapping[str, Interval]) -> str:
    """What one is better than, worse than, and not shown to differ from."""
    beside = {
        NAMES[name.removeprefix(f"{way} - ")]: f for name, f in differences.items() if name.startswith(f"{way} -")
    }
    words = {
        "better than": [name for name, f in beside.items() if f.low > 0],
        "worse than": [name for name, f in beside.items() if f.high < 0],
        "no difference is shown from": [name for name, f in beside.items() if f.low <= 0 <= f.high],
    }
    return "; ".join(f"{said} {', '.join(names)}" for said, names in words.items() if names)


def calibration_table(results: SequenceResults) -> str:
    """Markdown: figures of cross-fitted probabilities."""
    lines = ["| figure | value (95 %) |", "|---|---|"]
    lines += [f"| {name.replace('_', ' ')} | {said(figure)} |" for name, figure in results.probabilities.items()]
    return "\n".join(lines)


def said(figure: Interval) -> str:
    """A figure and its interval in words."""
    return f"{figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f})"


def signed(figure: Interval) -> str:
    """A difference and its interval in words."""
    return f"{figure.value:+.3f} ({figure.low:+.3f} to {figure.high:+.3f})"


def _input(manifest: SequenceManifest) -> str:
    spec = manifest.input
    return (
        f"At most {spec.slices} slices of {spec.size_px} x {spec.size_px} pixels of {spec.spacing_mm:g} mm, HU within "
        f"the outline (clipped to {spec.clip_hu[0]:g} to {spec.clip_hu[1]:g} in the graph), the outline, and the "
        "distance to the slice before in mm."
    )
