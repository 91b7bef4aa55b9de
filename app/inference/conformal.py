"""Prediction sets of the classifier: conformal prediction by class and by size (Mondrian; Vovk 2012)."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

Fraction = Annotated[float, Field(ge=0, le=1)]
Finding = Literal["cancer_suspected", "normal"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class SizeQuantiles(_Frozen):
    """The quantile of one label's non-conformity 1 - p(label) in each bin of `soft_diameter_mm`.

    `edges_mm` part the bins, ascending; a diameter on an edge belongs to the larger bin. `nodules` is on how many each
    quantile stands, empty where that is not recorded; `pooled_mm` are edges given up because a bin beside them held too
    few. A bare number is one quantile for all sizes, as in manifests from before there were bins.
    """

    quantiles: Annotated[tuple[Fraction, ...], Field(min_length=1)]
    edges_mm: tuple[float, ...] = ()
    nodules: tuple[int, ...] = ()
    pooled_mm: tuple[float, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _from_number(cls, value: Any) -> Any:
        return {"quantiles": (value,)} if isinstance(value, int | float) else value

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if len(self.quantiles) != len(self.edges_mm) + 1 or len(self.nodules) not in (0, len(self.quantiles)):
            raise ValueError("edges_mm must part as many bins as there are quantiles and numbers of nodules")
        if any(low >= high for low, high in pairwise(self.edges_mm)):
            raise ValueError("edges_mm must ascend")
        return self

    def at(self, soft_diameter_mm: float) -> float:
        """The quantile for a nodule of this size."""
        return self.quantiles[bisect_right(self.edges_mm, soft_diameter_mm)]

    @property
    def bins(self) -> tuple[str, ...]:
        """The bins in words, the smallest first."""
        edges = [f"{edge:g}" for edge in self.edges_mm]
        if not edges:
            return ("all sizes",)
        between = (f"{low}-{high} mm" for low, high in pairwise(edges))
        return (f"< {edges[0]} mm", *between, f">= {edges[-1]} mm")


class Conformal(_Frozen):
    """A label is in the set when its non-conformity 1 - p(label) is at most its quantile at the nodule's size.

    A bin with fewer than `min_nodules` of a label was pooled with its neighbour; None where there were no bins.
    """

    coverage: Fraction
    quantiles: Mapping[Finding, SizeQuantiles]
    min_nodules: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _both_labels(self) -> Self:
        if set(self.quantiles) != {"cancer_suspected", "normal"}:
            raise ValueError("quantiles must be given for cancer_suspected and normal")
        return self

    def prediction_set(self, probability: float, soft_diameter_mm: float) -> tuple[Finding, ...]:
        """The labels that cannot be ruled out at `coverage`, given the probability of cancer and the size."""
        of = self.quantiles
        kept: tuple[tuple[Finding, bool], ...] = (
            ("cancer_suspected", 1 - probability <= of["cancer_suspected"].at(soft_diameter_mm)),
            ("normal", probability <= of["normal"].at(soft_diameter_mm)),
        )
        return tuple(finding for finding, inside in kept if inside)


def soft_diameter_mm(mask: NDArray[np.floating], spacing_mm: float) -> NDArray[np.float64]:
    """Diameter (N,) in mm of the circle whose area is the sum of mask probabilities (N, size, size).

    Unlike that of the drawn outline it moves by little when the image does. Calibration inside the graph takes it at
    the spacing of the model's input, and so must whoever asks for a prediction set: in a patch of larger pixels a mass
    counts as the nodule that the network sees.
    """
    return np.asarray(2 * np.sqrt(mask.sum(axis=(1, 2), dtype=np.float64) / np.pi) * spacing_mm, np.float64)
