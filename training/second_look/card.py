"""The second look's model card, written from its manifest and the measured results; no figure is typed by hand."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from app.inference.suspicion import ScanPoint, SuspicionManifest
from training.detector.card import said
from training.reporting.markdown import bullets
from training.second_look.report import CurvePoint, LookResults, SeriesFigures

CHEST_HEAD = "| slice | region | reading | network | best finding | at the mark | decision by score |"


def write_look_card(path: Path, manifest: SuspicionManifest, results: LookResults) -> None:
    """Write MODEL_CARD.md."""
    parts = [
        f"# {manifest.name} {manifest.version}\n\n**Research use only. Not a medical device.**",
        manifest.description,
        f"## Intended use\n\n{manifest.intended_use}",
        f"## Known risks and limitations\n\n{bullets(_risks(results))}",
        f"## Score and points\n\n{_rule(manifest)}\n\n{bullets(_points(manifest))}",
        f"## Training data\n\n{_training_data(manifest)}",
        f"## Figures\n\n{results.protocol}\n\n{figures_table(results)}",
        f"## Slices, scan by scan\n\n{scans_table(results)}",
        f"## Every threshold, pooled\n\n{curve_table(results.pooled)}",
        f"## Series, scan by scan\n\n{series_table(results.series)}",
        f"## Chest slices, row by row\n\n{chest_table(results)}",
        f"## Reproduce\n\n`{results.command}`; docs/detector.md says how it was trained.",
    ]
    path.write_text("\n\n".join(parts) + "\n", "utf-8")


def _risks(results: LookResults) -> Iterable[str]:
    yield (
        "These weights learned from the whole scans and the chest slices that the figures are of: **those test them no "
        "more**. Figures are of networks of the same recipe that left out the scan, the slices' patients and the fold "
        "of the planted nodules."
    )
    yield f"{len(results.scans)} scans stand for all backgrounds, and they chose the points."
    yield "Labels are radiologists' marks and suspicion, not pathology; unmarked nodules count as false findings."
    yield "Masses above 30 mm are in no training patch: smaller ones stand for them, seen at twice the spacing."


def _rule(manifest: SuspicionManifest) -> str:
    rule = manifest.rule
    return (
        f"score = {rule.suspicious:g} · suspicious + {rule.nodule:g} · nodule + {rule.filter:g} · filter "
        f"(`{manifest.filter_digest[:16]}`), all logits."
    )


def _points(manifest: SuspicionManifest) -> Iterable[str]:
    return map(_point, (manifest.slice_point, manifest.series_point))


def _point(point: ScanPoint) -> str:
    return (
        f"**{point.per}**: listed from {point.listed_from:.2f}, open from {point.open_from:.2f}, suspected from "
        f"{point.suspected_from:.2f}; chosen for {point.chosen_for}; sensitivity {said(point.sensitivity)}, false "
        f"alarms {said(point.false_alarms)}, {point.scans} scans."
    )


def _training_data(manifest: SuspicionManifest) -> str:
    lines = ["| source | licence | patients | items | split |", "|---|---|---|---|---|"]
    for data in manifest.training_data:
        patients = "not stated" if data.patients is None else str(data.patients)
        lines.append(f"| {data.source} | {data.licence} | {patients} | {data.items} | {data.split} |")
    return "\n".join(lines)


def figures_table(results: LookResults) -> str:
    """Markdown: every figure with its 95 % interval."""
    lines = ["| figure | value (95 %) |", "|---|---|"]
    lines += [f"| {name.replace('_', ' ')} | {said(figure)} |" for name, figure in results.figures.items()]
    return "\n".join(lines)


def scans_table(results: LookResults) -> str:
    """Markdown: each scan at the score that the others chose, and at the shipped one."""
    lines = [
        "| scan | network | slices | score chosen by the others | false alarms | planted | native | at the "
        "shipped score: false alarms | planted | native |",
        "|---" * 10 + "|",
    ]
    for scan in results.scans:
        own, shipped = (_cells(point) for point in (scan.at_own_score, scan.at_shipped_score))
        lines.append(
            f"| {scan.scan} | {scan.network} | {scan.slices} | {scan.chosen_by_others:.2f} | {own} | {shipped} |"
        )
    return "\n".join(lines)


def _cells(point: CurvePoint) -> str:
    return f"{point.false_alarms:.3f} | {point.planted:.3f} | {point.native:.3f}"


def curve_table(curve: Iterable[CurvePoint]) -> str:
    """Markdown: pooled shares at every score."""
    lines = ["| score | lesion-free slices suspected | planted found | native found |", "|---|---|---|---|"]
    lines += [f"| {point.score:.2f} | {_cells(point)} |" for point in curve]
    return "\n".join(lines)


def series_table(series: Iterable[SeriesFigures]) -> str:
    """Markdown: known lesions and the strongest false findings."""
    lines = [
        "| scan | network | suspicious lesions | other known lesions | strongest false findings |",
        "|---" * 5 + "|",
    ]
    for scan in series:
        suspicious, others = (
            ", ".join("none" if n.score is None else f"{n.score:.1f}" for n in scan.lesions if n.suspicious is kind)
            for kind in (True, False)
        )
        false = ", ".join(f"{score:.1f}" for score in scan.false_scores[:8])
        lines.append(f"| {scan.scan} | {scan.network} | {suspicious} | {others} | {false} |")
    return "\n".join([*lines, "", "One scan each: no general claim."])


def chest_table(results: LookResults) -> str:
    """Markdown: every chest slice by a network that saw none of its patient."""
    lines = [CHEST_HEAD, "|---" * 7 + "|"]
    for row in results.chest:
        best, mark = ("" if s is None else f"{s:.2f}" for s in (row.score, row.at_mass))
        decision = _decision(row.score, results.slice_point)
        lines.append(f"| {row.file} | {row.region} | {row.reading} | {row.network} | {best} | {mark} | {decision} |")
    return "\n".join(lines)


def _decision(score: float | None, point: ScanPoint) -> str:
    if score is None or score < point.open_from:
        return "normal"
    return "suspected" if score >= point.suspected_from else "open"
