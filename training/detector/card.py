"""The candidate filter's model card, written from its manifest and the measured results; no figure is typed by hand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from app.inference.bundle import Interval
from app.inference.detector import DetectorManifest, ScoreThreshold
from training.detector.report import Band, DetectorResults, WholeScan
from training.reporting.markdown import bullets

SHOWN_RATES = ("0.125", "0.25", "0.5", "1", "1.5", "2", "4", "8")


def write_detector_card(path: Path, manifest: DetectorManifest, results: DetectorResults) -> None:
    """Write MODEL_CARD.md."""
    parts = [
        f"# {manifest.name} {manifest.version}\n\n**Research use only. Not a medical device.**",
        manifest.description,
        f"## Intended use\n\n{manifest.intended_use}",
        f"## Known risks and limitations\n\n{bullets(_risks(manifest))}",
        f"## Thresholds\n\n{bullets(_thresholds(manifest))}",
        f"## Training data\n\n{_training_data(manifest)}",
        f"## Sensitivity by false positives per slice\n\n{results.protocol}\n\n{froc_table(results.bands)}",
        f"## Native held-out patches\n\nThe same thresholds; nothing to merge.\n\n{native_table(results.bands)}",
        f"## The filter and the classifier alone\n\n{_comparisons(results)}",
        f"## Whole scans\n\n{scans_table(results.scans)}",
        f"## Reproduce\n\n`{results.command}`; docs/detector.md says how it was trained.",
    ]
    path.write_text("\n\n".join(parts) + "\n", "utf-8")


def _risks(manifest: DetectorManifest) -> Iterable[str]:
    if scans := " and ".join(negative.series for negative in manifest.hard_negatives):
        yield (
            f"These weights learned from false candidates of {scans}: **those scans do not test them**. Figures on "
            "them are of filters of the same recipe that saw neither the scan nor the patients they are judged on."
        )
    else:
        yield "These weights learned from no whole scan and from none of the patients whose nodules test them."
    yield "Two scans stand for all backgrounds. A reconstruction kernel or disease that neither shows is not measured."
    yield "Planted nodules lie free in the lung; those on the pleura or the mediastinum are not measured by planting."
    yield "Labels are radiologists' marks, not pathology; unmarked nodules of the scans count as false positives."


def _thresholds(manifest: DetectorManifest) -> Iterable[str]:
    yield _threshold(manifest.slice_threshold)
    if (second := manifest.second_reader) is not None:
        yield (
            f"**second reader, slices only**: candidates of score {second.from_score:.3f} and more, chosen for "
            f"{second.chosen_for}; then the score is the filter's plus {second.weight:g} times the logit of "
            f"`{second.output}` of {second.model}. Figures are with the networks of its cross-validation; another "
            "classifier moves the rate of false positives."
        )
    yield _threshold(manifest.series_threshold)


def _threshold(threshold: ScoreThreshold) -> str:
    return (
        f"**{threshold.per}**: score {threshold.score:.3f}, chosen for {threshold.chosen_for}; sensitivity "
        f"{said(threshold.sensitivity)}, false positives per {threshold.per} {said(threshold.false_positives, 2)}."
    )


def _training_data(manifest: DetectorManifest) -> str:
    lines = ["| source | licence | patients | items | split |", "|---|---|---|---|---|"]
    for data in manifest.training_data:
        patients = "not stated" if data.patients is None else str(data.patients)
        lines.append(f"| {data.source} | {data.licence} | {patients} | {data.items} | {data.split} |")
    for scan in manifest.hard_negatives:
        share = f"hard negatives, {scan.share:.0%} of every batch"
        lines.append(f"| scan {scan.series} | as its source | 1 | {scan.patches} patches | {share} |")
    return "\n".join(lines)


def froc_table(bands: Sequence[Band]) -> str:
    """Markdown: sensitivity of planted nodules with 95 % intervals, one band a line."""
    head = f"| band | nodules | patients | with candidate | {' | '.join(SHOWN_RATES)} |"
    lines = [head, "|---" * (4 + len(SHOWN_RATES)) + "|"]
    for band in bands:
        cells = [said(band.sensitivity[rate], 2) for rate in SHOWN_RATES]
        counts = f"{band.name} | {band.plantings} | {band.patients} | {band.with_candidate:.2f}"
        lines.append(f"| {counts} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _comparisons(results: DetectorResults) -> str:
    """Markdown: the first band's sensitivity when fewer are asked."""
    lines = [f"| asked | | {' | '.join(SHOWN_RATES)} |", "|---" * (2 + len(SHOWN_RATES)) + "|"]
    for each in results.comparisons:
        cells = [said(each.sensitivity[rate], 2) for rate in SHOWN_RATES]
        lines.append(f"| {each.judge} | {each.note} | {' | '.join(cells)} |")
    return "\n".join([f"Planted, {results.bands[0].name}.", "", *lines])


def native_table(bands: Sequence[Band]) -> str:
    """Markdown: the same for held-out patches as they were scanned."""
    lines = [f"| band | nodules | {' | '.join(SHOWN_RATES)} |", "|---" * (2 + len(SHOWN_RATES)) + "|"]
    for band in bands:
        cells = [said(band.native[rate], 2) for rate in SHOWN_RATES]
        lines.append(f"| {band.name} | {band.native_nodules} | {' | '.join(cells)} |")
    return "\n".join(lines)


def scans_table(scans: Sequence[WholeScan]) -> str:
    """Markdown: series mode, one scan and filter a line."""
    lines = [
        "| scan | filter | tests it | known found | other findings | others when all are found |",
        "|---" * 6 + "|",
    ]
    for scan in scans:
        found = f"{sum(n.found for n in scan.nodules)} of {len(scan.nodules)}"
        needed = "not all have a candidate" if scan.others_when_all_found is None else str(scan.others_when_all_found)
        honest = "yes" if scan.honest else "no: it learned from this scan"
        lines.append(f"| {scan.scan} | {scan.filter} | {honest} | {found} | {scan.others} | {needed} |")
    return "\n".join([*lines, "", "One scan each: no general claim."])


def said(figure: Interval, digits: int = 3) -> str:
    """A figure and its interval in words."""
    return f"{figure.value:.{digits}f} ({figure.low:.{digits}f} to {figure.high:.{digits}f})"
