"""Which numbers of a judgement are counted, and in which bins.

The bins are the same everywhere and always: counts of workers and days add up, and no value can be told from them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from app.imaging.noise import soft_tissue
from app.imaging.volume import CTVolume
from app.inference.vocabulary import Decision
from app.judgement.judge import Judgement

Side = Literal["input", "output"]
Placed = tuple[str, int]  # a feature's name, and the bin of a value
Histogram = NDArray[np.int64]  # (bins,) counts
# Of the reference: groups of bins hold as much, and codes that have a group of their own.
MIN_SHARE: Final = 0.1
MIN_SHARE_OF_CODE: Final = 0.02


@dataclass(frozen=True, slots=True)
class Feature:
    """One number of a judgement and its bins: `edges` part them, ascending, or each of `codes` has one, the last being
    for all others."""

    name: str
    side: Side
    edges: tuple[float, ...] = ()
    codes: tuple[str, ...] = ()

    @property
    def bins(self) -> int:
        """How many bins there are."""
        return len(self.codes) or len(self.edges) + 1

    def bin_of(self, value: float) -> int:
        """The bin of a number."""
        return bisect_right(self.edges, value)

    def bin_of_code(self, code: str) -> int:
        """The bin of a code."""
        return self.codes.index(code) if code in self.codes else len(self.codes) - 1


def _even(low: float, high: float, bins: int) -> tuple[float, ...]:
    return tuple(round(float(edge), 6) for edge in np.linspace(low, high, bins + 1))


def _growing(low: float, high: float, bins: int) -> tuple[float, ...]:
    return tuple(round(float(edge), 6) for edge in np.geomspace(low, high, bins + 1))


NO_REASON: Final = "none"
# A bin's number is kept on the disk: further reasons are added before the last, which then gets the next number.
REASONS: Final = (
    *(NO_REASON, "near_operating_point", "out_of_distribution", "not_a_nodule", "no_lung", "not_axial"),
    *("not_axial_chest", "implausible_hu", "no_contrast", "roi_in_air", "roi_on_bone", "roi_outside_lung"),
    *("lungs_not_whole", "partial_lung", "opacified_lung", "narrow_view", "other"),
)
FEATURES: Final[Mapping[str, Feature]] = {
    feature.name: feature
    for feature in (
        Feature("pixel_spacing_mm", "input", _even(0.4, 1.2, 40)),
        Feature("slice_spacing_mm", "input", _even(0.25, 5.25, 40)),
        Feature("soft_tissue_hu", "input", _even(-60, 140, 50)),
        Feature("noise_hu", "input", _growing(2, 120, 40)),
        Feature("diameter_mm", "output", _growing(3, 60, 30)),
        Feature("probability", "output", _even(0.02, 0.98, 48)),
        Feature("decision", "output", codes=get_args(Decision)),
        Feature("reason", "output", codes=REASONS),
    )
}


def placed(judgement: Judgement) -> list[Placed]:
    """The bins of a judgement's numbers: of the image, of each finding, and of the decision."""
    prediction = judgement.prediction
    found = [*_of_numbers(_image_values(judgement))]
    for finding in prediction.findings:
        if finding.probability is not None:
            found += _of_numbers({"probability": finding.probability, "diameter_mm": finding.soft_diameter_mm})
    codes = {"decision": prediction.decision, "reason": (prediction.reasons or (NO_REASON,))[0]}
    return [*found, *((name, FEATURES[name].bin_of_code(code)) for name, code in codes.items())]


def _of_numbers(values: Mapping[str, float]) -> Iterator[Placed]:
    return ((name, FEATURES[name].bin_of(value)) for name, value in values.items())


def _image_values(judgement: Judgement) -> dict[str, float]:
    image = judgement.image
    if isinstance(image, CTVolume):
        hu = image.hu[len(image) // 2]
        values = {"pixel_spacing_mm": image.spacing_mm[1], "slice_spacing_mm": image.spacing_mm[0]}
    else:
        hu = image.hu
        values = {"pixel_spacing_mm": image.spacing_mm[0]}
    if (soft := soft_tissue(hu)) is not None:
        values["soft_tissue_hu"], values["noise_hu"] = soft
    return values


def histogram(counts: Mapping[int, int], feature: Feature) -> Histogram:
    """Counts of all bins, from those that have any; bins that another version had are left out."""
    found = np.zeros(feature.bins, np.int64)
    for place, count in counts.items():
        if 0 <= place < feature.bins:
            found[place] += count
    return found


def groups_of(reference: Histogram, feature: Feature) -> NDArray[np.intp]:
    """For each bin the group with which it is compared: groups hold at least MIN_SHARE of the reference, or what lies
    between, below or above those that do. Codes have no order: all that are rare are one group."""
    total = int(reference.sum())
    if feature.codes:
        frequent = reference >= MIN_SHARE_OF_CODE * total
        return np.where(frequent, np.cumsum(frequent), 0)
    enough = MIN_SHARE * total
    return np.asarray(list(_runs(reference.tolist(), enough)), np.intp)


def _runs(reference: Sequence[int], enough: float) -> Iterator[int]:
    """Bins in a row share a group until it holds enough; one that holds enough by itself shares with nobody."""
    group, held = 0, 0.0
    for place, count in enumerate(reference):
        if place and (count >= enough or held >= enough):
            group, held = group + 1, 0.0
        held += count
        yield group
