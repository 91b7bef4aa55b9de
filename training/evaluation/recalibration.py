"""A site's own calibration of a finished bundle: logit' = slope * logit + intercept, and conformal sets anew.

Two numbers are what some dozens of cases can carry (Cox 1958; Steyerberg 2004 calls it logistic recalibration). They
change no order, so the decisions at the operating point stay the same: its threshold is carried over.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from app.inference.bundle import Manifest
from training.data.nodules import DatasetMalformed
from training.evaluation.bundle_study import as_calibration
from training.evaluation.calibration import conformal_quantiles, sigmoid
from training.evaluation.cross_fitting import Answers, Calibration, answer, decided, diameter_threshold_mm
from training.evaluation.held_out import HeldOut
from training.evaluation.stated_and_observed import MIN_SPREAD, calibration_line, logit
from training.fitting.config import Config

MIN_OF_CLASS: Final = 20  # 0.90 coverage then leaves out two: with fewer the set hangs on a single nodule
USABLE_SLOPES: Final = (0.05, 20.0)  # a slope at or below 0 would turn the order round


def refit(nodules: HeldOut, manifest: Manifest, config: Config) -> Calibration:
    """Calibration and sets from decided nodules with the bundle's own answers; raises ValueError without both classes.

    `nodules.malignancy` are the logits of what the bundle serves.
    """
    chosen = nodules.where(decided(nodules, config))
    slope, intercept = calibration_line(chosen.suspicious, sigmoid(chosen.malignancy), USABLE_SLOPES)
    if np.isnan(slope):
        raise ValueError("recalibration needs both classes, and answers that differ")
    probability = sigmoid(slope * logit(sigmoid(chosen.malignancy)) + intercept)
    point = logit(np.array([manifest.operating_point.threshold]))
    return as_calibration(manifest).model_copy(
        update={
            "slope": slope,
            "intercept": intercept,
            "threshold": float(sigmoid(slope * point + intercept)[0]),
            "quantiles": conformal_quantiles(
                probability, chosen.suspicious, chosen.soft_diameter_mm, manifest.conformal.coverage
            ),
        }
    )


def cross_fitted_refit(nodules: HeldOut, manifest: Manifest, config: Config) -> Answers:
    """Answers about each fold's nodules by what `refit` makes of the other folds': nothing judges itself."""
    parts, order = [], []
    for fold in np.unique(nodules.fold).tolist():
        inside, others = nodules.fold == fold, nodules.where(nodules.fold != fold)
        fitted = refit(others, manifest, config)
        parts.append(answer(nodules.where(inside), fitted, diameter_threshold_mm(others, config)))
        order.append(np.flatnonzero(inside))
    back = np.argsort(np.concatenate(order))
    return Answers(**{name: np.concatenate([getattr(a, name) for a in parts])[back] for name in Answers.__slots__})


def require_enough(nodules: HeldOut, config: Config) -> None:
    """Raise DatasetMalformed unless there are MIN_OF_CLASS decided nodules of each class, in more than one fold, and
    not all of them were answered alike."""
    chosen = nodules.where(decided(nodules, config))
    if len(chosen.malignancy) and np.ptp(chosen.malignancy) < MIN_SPREAD:
        raise DatasetMalformed(
            found="the same probability for every nodule of the table",
            expected="a network that tells them apart",
            remedy="No calibration helps this bundle here; look at the images and their scale.",
        )
    suspicious, benign = int(chosen.suspicious.sum()), int((~chosen.suspicious).sum())
    if min(suspicious, benign) < MIN_OF_CLASS or len(set(chosen.fold.tolist())) < 2:
        raise DatasetMalformed(
            found=f"{suspicious} suspicious and {benign} benign nodules to recalibrate by",
            expected=f"at least {MIN_OF_CLASS} of each, of patients in more than one fold",
            remedy="Accept without --recalibrate, or label more nodules.",
        )
