"""How far the evidence map can be believed, over all nodules."""

from __future__ import annotations

import numpy as np

from app.inference.bundle import Interval
from training.evaluation import metrics
from training.evaluation.cross_fitting import decided
from training.evaluation.figures import intervals
from training.evaluation.readers import CONSENSUS_OUTLINES
from training.evaluation.study import Study
from training.fitting.config import Config


def evidence_figures(study: Study, config: Config) -> dict[str, Interval]:
    """What `evidence` measures, of suspicious decided lesions; the peak where several readers outlined the nodule."""
    n = study.nodules.where(decided(study.nodules, config) & study.nodules.suspicious)
    inside = np.where(n.outlines >= CONSENSUS_OUTLINES, n.peak_inside, np.nan)
    more = n.fall_by_evidence > n.fall_by_chance
    table: dict[str, metrics.Metric] = {
        "evidence_peak_in_outline": lambda i: metrics.mean(inside[i]),
        "evidence_outweighs_chance": lambda i: metrics.share(more[i]),
    }
    return intervals(table, n.patient.tolist(), config)
