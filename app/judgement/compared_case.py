"""A series as guidelines see it once an earlier one was laid beside it."""

from __future__ import annotations

from dataclasses import replace

from app.comparison.compare import Comparison
from app.comparison.compare import Nodule as ComparedNodule
from app.guidelines.case import Case, Context, Earlier, Nodule
from app.inference.prediction import Prediction
from app.judgement.guideline_case import case_of, nodules_of


def compared_case(comparison: Comparison, current: Prediction, prior: Prediction, context: Context) -> Case:
    """The current series with what the prior one shows of each nodule; what only looking has found in it is a nodule
    too. Without the prior where it tells nothing: of one day, not judged, or not aligned."""
    case = case_of(current, context)
    alignment, series = comparison.alignment, prior.series
    aligned = alignment is not None and alignment.is_good and prior.decision != "rejected"
    if not aligned or series is None or comparison.interval.days == 0:
        return case
    nodules = (*case.nodules, *_looked(comparison))
    earlier = {n.current.id: _earlier(n, comparison.interval.days) for n in comparison.nodules if n.current is not None}
    return replace(
        case,
        nodules=tuple(replace(each, earlier=earlier.get(each.id)) for each in nodules),
        earlier_slice_mm=series.slice_spacing_mm,
    )


def _looked(comparison: Comparison) -> tuple[Nodule, ...]:
    """What the search of the current series has missed; it counts, as it did in the prior."""
    found = [n.current for n in comparison.nodules if n.looked_in == "current" and n.current is not None]
    return tuple(replace(nodule, counts=True) for nodule in nodules_of(found))


def _earlier(nodule: ComparedNodule, days: int | None) -> Earlier | None:
    if nodule.verdict == "new":
        return Earlier(days, None)
    measured = nodules_of(() if nodule.prior is None else (nodule.prior,))
    if not measured:
        return None
    return Earlier(days, measured[0], None if nodule.change is None else nodule.change.ratio)
