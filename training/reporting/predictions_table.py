"""`predictions.csv`: what was answered about each nodule, one row each. It names patients as the data does."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from training.evaluation.study import Study

PREDICTIONS_TABLE: Final = "predictions.csv"
COLUMNS: Final = (
    "nodule", "patient", "fold", "label", "readers", "diameter_mm",
    "probability", "decision", "prediction_set", "outline_diameter_mm", "soft_diameter_mm", "nodule_score",
)  # fmt: skip


def write_predictions(path: Path, study: Study) -> None:
    """Write the table. `nodule` is the row of a table of one's own; `label` is the median rating, 1 to 5."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        writer.writerows(_rows(study))


def _rows(study: Study) -> Iterator[tuple[object, ...]]:
    said, decisions = study.answers, study.answers.decisions
    for k, case in enumerate(study.cases):
        held = (("cancer_suspected", said.holds_suspicious[k]), ("normal", said.holds_benign[k]))
        yield (
            case.nodule_id,
            case.patient,
            case.fold,
            f"{case.median_malignancy:g}",
            case.readers,
            "" if math.isnan(case.diameter_mm) else f"{case.diameter_mm:.2f}",
            f"{said.probability[k]:.6f}",
            decisions[k],
            ";".join(name for name, inside in held if inside),
            f"{study.nodules.diameter_mm[k]:.2f}",
            f"{study.nodules.soft_diameter_mm[k]:.2f}",
            f"{study.nodules.nodule[k]:.4f}",
        )
