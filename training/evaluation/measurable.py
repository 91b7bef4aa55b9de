"""What of a data set can be measured, said before hours are spent on it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from training.data.nodules import INDETERMINATE, Dataset, DatasetMalformed, Nodule
from training.data.table import SOURCE
from training.fitting.config import Config

ONE_LABEL: Final = (
    "No nodule has the {wanted} readers that the configuration asks for (most have {most}): the main figures are of "
    "all labelled nodules. A label of one reader or of one pathology report is taken as it stands."
)
MIN_OF_CLASS: Final = 2  # of each class outside every fold; calibration on fewer is refused by its own mathematics


def is_own(dataset: Dataset) -> bool:
    """Whether the data is a table of somebody's own, which this project's targets are not about."""
    return any(name == SOURCE for name, _ in dataset.digests)


def with_readers_of(dataset: Dataset, config: Config) -> tuple[Config, tuple[str, ...]]:
    """The configuration, asking for one reader where no nodule has as many as it asks for; and what to say of that."""
    most, wanted = max((n.readers for n in dataset.nodules), default=0), config.evaluation.min_readers
    if not 0 < most < wanted:
        return config, ()
    evaluation = config.evaluation.model_copy(update={"min_readers": 1})
    return config.model_copy(update={"evaluation": evaluation}), (ONE_LABEL.format(wanted=wanted, most=most),)


def require_both_classes(dataset: Dataset, config: Config) -> None:
    """Raise DatasetMalformed unless the nodules outside each fold hold both classes: they calibrate for it."""
    if len(dataset.folds) < 2:
        raise DatasetMalformed(
            found=f"nodules in {len(dataset.folds)} fold(s)",
            expected="at least two folds, of different patients",
            remedy="Add patients, or state `fold`; one folder of data cannot be cross-validated against itself.",
        )
    for fold in dataset.folds:
        others = [n for n in dataset.nodules if n.fold != fold and n.readers >= config.evaluation.min_readers]
        suspicious, benign = _counted(others)
        if min(suspicious, benign) < MIN_OF_CLASS:
            raise DatasetMalformed(
                found=f"{suspicious} suspicious and {benign} benign nodules outside fold {fold}",
                expected=f"at least {MIN_OF_CLASS} of each",
                remedy="Add nodules of the class that lacks, or put patients into other folds.",
            )


def _counted(nodules: Iterable[Nodule]) -> tuple[int, int]:
    medians = [n.median_malignancy for n in nodules]
    return sum(m > INDETERMINATE for m in medians), sum(m < INDETERMINATE for m in medians)
