"""A prediction in a few English sentences, the same in every result: what a reader should know before the numbers."""

from __future__ import annotations

from typing import Final

from app.imaging.ct import QualityNote
from app.inference.finding_words import ATTENUATION_WORDS, position_words
from app.inference.prediction import Finding
from app.inference.vocabulary import DECISION_WORDS
from app.reports.figures import percent, significant
from app.reports.report import DISCLAIMER, Report, standing

# How well a search does, measured on how little (`app.inference.scan_notes`).
OF_THE_SEARCH: Final = ("nodules_may_be_missed", "study_level_not_validated")


def summary(report: Report) -> tuple[str, ...]:
    """The decision, what was found, the most suspicious finding, how well the search does, and the disclaimer."""
    searched = (note.message for note in report.notes if note.code in OF_THE_SEARCH)
    leading = (f"{_title(report, finding)}{described(report, finding)}" for finding in report.findings[:1])
    return (decision_words(report), _count(report), *leading, *searched, DISCLAIMER)


def decision_words(report: Report) -> str:
    """The decision and, where it was withheld, the reasons."""
    prediction = report.prediction
    words = DECISION_WORDS[prediction.decision]["en"]
    return f"{words} ({', '.join(prediction.reasons)})." if prediction.reasons else f"{words}."


def remarks(report: Report) -> tuple[QualityNote, ...]:
    """The warnings about image and header that are not in the summary already."""
    return tuple(note for note in report.notes if note.severity != "info" and note.code not in OF_THE_SEARCH)


def described(report: Report, finding: Finding) -> str:
    """Where a finding lies, how large and how dense it is, how suspicious, and what it counts for."""
    parts = [location(report, finding)]
    if finding.size is not None:
        axes, attenuation = finding.size.axes, finding.size.attenuation
        parts.append(f"{significant(axes.long_mm):g} x {significant(axes.short_mm):g} mm")
        parts.append(ATTENUATION_WORDS[attenuation.classes[0]]["en"])
    judged = finding.probability is not None and report.prediction.decision != "rejected"
    parts.append(f"probability {percent(finding.probability or 0.0):g} %" if judged else "not judged")
    sentence = f"{', '.join(parts)}."
    return sentence if (counts := standing(finding)) is None else f"{sentence} {counts}"


def location(report: Report, finding: Finding) -> str:
    """Side, third of the lungs, slice and its height in the patient."""
    words = position_words(finding, report.prediction, "en")
    return words if finding.center_mm is None else f"{words} at z {finding.center_mm[2]:.1f} mm"


def _title(report: Report, finding: Finding) -> str:
    return f"Most suspicious: finding {finding.id}, " if report.roi_px is None else f"Finding {finding.id}: "


def _count(report: Report) -> str:
    shown = len(report.findings)
    hidden = len({f.id for f in report.prediction.findings} - {f.id for f in report.findings})
    few = {0: "No finding shown.", 1: "1 finding shown."}
    words = few.get(shown, f"{shown} findings shown, the most suspicious first.")
    return f"{words} {hidden} of low suspicion left out." if hidden else words
