"""What stands beside every decision for a slice or series: how well it did where it was measured, and on how little."""

from __future__ import annotations

from app.imaging.ct import QualityNote
from app.inference.bundle import Interval
from app.inference.model import Model
from app.inference.suspicion import ScanPoint, SecondLook


def scan_notes(point: ScanPoint, second_look: SecondLook, model: Model) -> tuple[QualityNote, ...]:
    """Two warnings about decisions at `point`, one of `second_look`, beside the classifier `model`."""
    measured = second_look.manifest.classifier_digest in (None, model.bundle.digest)
    missed = _measured(point) if measured else _measured_otherwise()
    return (
        QualityNote("nodules_may_be_missed", "warning", missed),
        QualityNote("study_level_not_validated", "warning", _not_validated(point)),
    )


def _measured(point: ScanPoint) -> str:
    of = "suspicious nodules (how many is not recorded)" if point.nodules is None else f"{point.nodules} such nodules"
    return (
        f"Suspicious nodules are missed: where it was measured, {_percent(point.sensitivity)} of {of} were called so, "
        f"with {point.false_alarms.value:.2g} false alarm(s) a {point.per} without any."
    )


def _measured_otherwise() -> str:
    return (
        "Suspicious nodules are missed, how many is not known: the search was measured with another classifier than "
        "the one that is served."
    )


def _not_validated(point: ScanPoint) -> str:
    scans = f"{point.scans} scan{'s' if point.scans > 1 else ''}"
    return f"The decision for a whole {point.per} was measured on {scans} only and has not been validated on others."


def _percent(figure: Interval) -> str:
    return f"{figure.value:.0%} (95 % interval {figure.low:.0%} to {figure.high:.0%})"
