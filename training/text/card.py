"""The report tagger's model card, written from its manifest and the measured results; no figure is typed by hand."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from app.inference.bundle import Interval
from app.text.tagger import TaggerManifest
from training.reporting.markdown import bullets
from training.text.reports import LABELS
from training.text.study import MACRO, LanguageResults, TaggerResults

NAMES: Final = {"en": "English", "ja": "Japanese"}
RISKS: Final = (
    "Six CTs stand for all reports: the intervals are wide, and a hospital's own reports are another thing.",
    "All reports are of lung cancer before treatment, written for the task, by radiologists who had the same CTs. "
    "Screening reports, follow-up, benign disease and nodules below 1 cm are not measured: claim nothing on them.",
    "The English texts read as translations of the Japanese ones.",
    "Rare labels are weak: look at the F1 of satellite and atelectasis before using them.",
    "Recommendations and comparisons with earlier examinations are too few to be measured.",
    "Chinese is read by rules alone: no lung CT reports under a permissive licence were found.",
    "A label says what a sentence is about. It says nothing of malignancy, and is no stage.",
)


def write_tagger_card(path: Path, manifest: TaggerManifest, results: TaggerResults) -> None:
    """Write MODEL_CARD.md."""
    (data,) = manifest.training_data
    parts = [
        f"# {manifest.name} {manifest.version}\n\n**Research use only. Not a medical device.**",
        manifest.description,
        f"## Intended use\n\n{manifest.intended_use}",
        f"## Known risks and limitations\n\n{bullets(RISKS)}",
        f"## Labels\n\n{_labels(manifest)}",
        f"## Training data\n\n{data.source}. {data.licence}. {data.items} reports, {data.split}.",
        f"## Figures\n\n{results.protocol}\n\n{comparison_table(results)}",
        f"## F1 of each label\n\n{label_table(results)}",
        f"## Sentences\n\n{bullets(_sentences(results))}",
        f"## Reproduce\n\n`{results.command}`; docs/reports.md says how it was trained.",
    ]
    path.write_text("\n\n".join(parts) + "\n", "utf-8")


def comparison_table(results: TaggerResults) -> str:
    """Markdown: macro-F1 of tagger and baseline, a language a line."""
    lines = [
        "| macro-F1 | tagger | its networks alone | over reports | n-grams + logistic regression | difference |",
        "|---|---|---|---|---|---|",
    ]
    for language, each in results.languages.items():
        alone = ", ".join(f"{value:.3f}" for value in each.members)
        cells = [said(each.tagger[MACRO]), alone, said(each.over_reports), said(each.baseline[MACRO])]
        lines.append(f"| {NAMES[language]} | {' | '.join(cells)} | {said(each.difference)} |")
    verdicts = [f"{NAMES[language]}: {verdict(each)}." for language, each in results.languages.items()]
    return "\n".join([*lines, "", " ".join(verdicts)])


def verdict(measured: LanguageResults) -> str:
    """What the interval of the difference allows to be said."""
    if measured.difference.low > 0:
        return "the tagger is better than the baseline"
    if measured.difference.high < 0:
        return "the baseline is better than the tagger"
    return "no difference from the baseline is shown"


def label_table(results: TaggerResults) -> str:
    """Markdown: F1 of each label with its interval, tagger and baseline of each language."""
    heads = [f"{NAMES[language]}, {who}" for language in results.languages for who in ("tagger", "baseline")]
    lines = [f"| label | {' | '.join(heads)} |", "|---" * (1 + len(heads)) + "|"]
    for label in LABELS:
        columns = (figures for each in results.languages.values() for figures in (each.tagger, each.baseline))
        lines.append(f"| {label} | {' | '.join(said(c[label], 2) if label in c else '-' for c in columns)} |")
    return "\n".join(lines)


def said(figure: Interval, digits: int = 3) -> str:
    """A figure and its interval in words."""
    return f"{figure.value:.{digits}f} ({figure.low:.{digits}f} to {figure.high:.{digits}f})"


def _labels(manifest: TaggerManifest) -> str:
    lines = ["| label | meaning | bears on |", "|---|---|---|"]
    lines += [f"| {each.name} | {each.meaning} | {each.axis or '-'} |" for each in manifest.labels]
    return "\n".join(lines)


def _sentences(results: TaggerResults) -> Iterable[str]:
    for language, each in results.languages.items():
        found = each.boundaries
        yield (
            f"{NAMES[language]}: the service's own division finds {found['shared']} of {found['official']} official "
            f"sentences of val and makes {found['own']}; figures above are on the official ones. "
            f"{each.seen_verbatim} of {each.sentences} occur word for word in train."
        )
