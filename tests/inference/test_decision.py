"""The rules by which findings become a decision, one row for each, on findings made by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from app.imaging.ct import QualityNote
from app.inference.decision import conclude_nodule, conclude_scan, suspicion_of
from app.inference.model import Model
from app.inference.prediction import Evidence, Finding
from app.inference.suspicion import SecondLook
from app.inference.vocabulary import Suspicion

# Of the arithmetic classifier: at 0.7 cancer is suspected, 0.52 is left open, 0.2 is normal.
CANCER, EITHER, BENIGN = 0.7, 0.52, 0.2
PLAIN = QualityNote("thick_slice", "warning", "…")
OPAQUE = QualityNote("opacified_lung", "warning", "…", bars_normal=True)


def finding(
    suspicion: Suspicion | None = None, score: float = 0.0, *, probability: float | None = CANCER, nodule: float = 1.0
) -> Finding:
    return Finding(
        id=1,
        center_px=(10.0, 10.0),
        center_mm=None,
        nodule_probability=nodule,
        probability=probability,
        diameter_mm=None,
        soft_diameter_mm=9.0,
        traits=(),
        outline_px=np.empty((0, 2)),
        evidence=Evidence(np.zeros((2, 2), np.float32), (0, 0, 1, 1)),
        suspicion_score=score,
        suspicion=suspicion,
    )


@pytest.mark.parametrize(
    ("score", "probability", "nodule", "suspicion"),
    [
        (0.99, CANCER, 1.0, "low"),  # below open_from
        (1.0, CANCER, 1.0, "open"),
        (1.99, CANCER, 1.0, "open"),
        (2.0, CANCER, 1.0, "suspected"),
        (2.0, EITHER, 1.0, "suspected"),  # the classifier does not object
        (2.0, None, 1.0, "suspected"),  # nor where it knows nothing like it
        (9.0, BENIGN, 1.0, "open"),  # its `normal` is an objection
        (9.0, CANCER, 0.4, "open"),  # and so is that it sees no nodule
        (0.99, BENIGN, 0.4, "low"),
    ],
)
def test_what_a_score_counts_for(
    model: Model, second_look: SecondLook, score: float, probability: float | None, nodule: float, suspicion: str
) -> None:
    found = finding(probability=probability, nodule=nodule)
    assert suspicion_of(score, found, second_look.manifest.slice_point, model) == suspicion


BOTH = ("cancer_suspected", "normal")
LOW, OPEN, SUSPECTED = finding("low", 0.5), finding("open", 1.5), finding("suspected", 2.5, probability=0.66)
UNJUDGED = replace(LOW, probability=None)


@pytest.mark.parametrize(
    ("findings", "notes", "decision", "probability", "prediction_set", "reasons"),
    [
        ([], [PLAIN], "normal", None, ("normal",), ()),
        ([LOW, LOW], [PLAIN], "normal", None, ("normal",), ()),  # many that count for nothing are nothing
        ([LOW, OPEN], [], "indeterminate", CANCER, BOTH, ("near_operating_point",)),
        ([LOW, OPEN, SUSPECTED], [], "cancer_suspected", 0.66, ("cancer_suspected",), ()),
        ([SUSPECTED, replace(OPEN, suspicion_score=9.0)], [], "cancer_suspected", 0.66, ("cancer_suspected",), ()),
        ([replace(SUSPECTED, probability=None)], [], "cancer_suspected", None, ("cancer_suspected",), ()),
        ([], [OPAQUE], "indeterminate", None, BOTH, ("opacified_lung",)),
        ([], [OPAQUE, OPAQUE], "indeterminate", None, BOTH, ("opacified_lung",)),
        ([LOW], [OPAQUE], "indeterminate", None, BOTH, ("opacified_lung",)),
        ([OPEN], [OPAQUE], "indeterminate", CANCER, BOTH, ("near_operating_point", "opacified_lung")),
        ([SUSPECTED], [OPAQUE], "cancer_suspected", 0.66, ("cancer_suspected",), ()),
        ([UNJUDGED], [], "indeterminate", None, BOTH, ("out_of_distribution",)),
    ],
)
def test_scan_is_decided_by_what_weighs_most(
    findings: list[Finding],
    notes: list[QualityNote],
    decision: str,
    probability: float | None,
    prediction_set: tuple[str, ...],
    reasons: tuple[str, ...],
) -> None:
    verdict = conclude_scan(findings, notes)
    assert (verdict.decision, verdict.probability) == (decision, probability)
    assert (verdict.prediction_set, verdict.reasons) == (prediction_set, reasons)


@pytest.mark.parametrize(
    ("probability", "notes", "decision", "reasons"),
    [
        (CANCER, [PLAIN], "cancer_suspected", ()),
        (CANCER, [OPAQUE], "cancer_suspected", ()),
        (BENIGN, [PLAIN], "normal", ()),
        (BENIGN, [OPAQUE], "indeterminate", ("opacified_lung",)),
        (EITHER, [PLAIN], "indeterminate", ("near_operating_point",)),
        (EITHER, [OPAQUE], "indeterminate", ("near_operating_point", "opacified_lung")),
    ],
)
def test_nodule_that_was_pointed_at(
    model: Model, probability: float, notes: list[QualityNote], decision: str, reasons: tuple[str, ...]
) -> None:
    verdict = conclude_nodule(probability, 9.0, notes, model)
    assert (verdict.decision, verdict.probability, verdict.reasons) == (decision, probability, reasons)
