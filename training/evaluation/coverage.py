"""What prediction sets cover by class and size: they are promised for each, and by class alone hide where they fail."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from app.inference.bundle import Interval
from training.evaluation import metrics
from training.evaluation.calibration import SIZE_EDGES_MM
from training.evaluation.cross_fitting import decided
from training.evaluation.figures import intervals
from training.evaluation.metrics import Flags, Metric
from training.evaluation.study import Study
from training.evaluation.subgroups import MIN_OF_CLASS
from training.fitting.config import Config

CLASSES: Final = ("suspicious", "benign")


@dataclass(frozen=True, slots=True)
class SizeBin:
    """From `low_mm` to below `high_mm` of soft diameter, the size that sets take."""

    low_mm: float
    high_mm: float

    @property
    def name(self) -> str:
        """As figures are named."""
        if not self.low_mm:
            return f"below_{self.high_mm:g}_mm"
        return f"from_{self.low_mm:g}_mm" if np.isinf(self.high_mm) else f"{self.low_mm:g}_to_{self.high_mm:g}_mm"

    @property
    def words(self) -> str:
        """As people say it."""
        return self.name.replace("_", " ")


BINS: Final = tuple(
    SizeBin(low, high) for low, high in zip((0.0, *SIZE_EDGES_MM), (*SIZE_EDGES_MM, np.inf), strict=True)
)


def coverage_figures(study: Study, config: Config) -> dict[str, Interval]:
    """Share of each class and size whose set holds its label; left out where there are fewer than MIN_OF_CLASS."""
    found: dict[str, Interval] = {}
    for name, of_class, held in _classes(study):
        for size in BINS:
            sizes_mm = study.nodules.soft_diameter_mm
            inside = decided(study.nodules, config) & of_class & (sizes_mm >= size.low_mm) & (sizes_mm < size.high_mm)
            if inside.sum() >= MIN_OF_CLASS:
                table = {f"coverage_{name}_{size.name}": _share_of(held[inside])}
                found |= intervals(table, study.nodules.patient[inside].tolist(), config)
    return found


def _share_of(flags: Flags) -> Metric:
    return lambda i: metrics.share(flags[i])


def _classes(study: Study) -> Iterator[tuple[str, Flags, Flags]]:
    suspicious, answers = study.nodules.suspicious, study.answers
    flags = ((suspicious, answers.holds_suspicious), (~suspicious, answers.holds_benign))
    for name, (of_class, held) in zip(CLASSES, flags, strict=True):
        yield name, of_class, held
