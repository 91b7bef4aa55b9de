"""Whether HU are HU: air near -1000 and soft tissue between 0 and 80, wherever a chest shows them.

A wrong slope or intercept turns a suspicious nodule into a harmless one in silence; the header cannot tell.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.imaging.ct import CTSlice, QualityNote
from app.imaging.lungs import BEYOND_VIEW_HU
from app.imaging.volume import CTVolume

CODE: Final = "implausible_hu"
SAMPLES: Final = 64  # along each side: 4,096 pixels tell a percentile to within some HU, in a tenth of a millisecond
MIN_TISSUE: Final = 0.05  # of the pixels; wide chests have 0.15 and more
AIRLIKE_HU: Final = -600.0  # above, there is no air in the picture to measure
TISSUE_HU: Final = (-300.0, 300.0)  # fat, organs, muscle and blood; bone and dense contrast lie above
AIR_PERCENTILE: Final = 2.0  # air around the body; where it fills the view, the thinnest lung and the airways
TISSUE_PERCENTILE: Final = 70.0  # past fat, which is half of many bodies, and below bone
PLAUSIBLE_AIR_HU: Final = (-1080.0, -930.0)  # 408 slices of 29 patients: -1024 to -946
PLAUSIBLE_TISSUE_HU: Final = (-50.0, 155.0)  # the same: -18 to 146; at slope 1.2 from 157, at 0.8 up to -66
POSSIBLE_AIR_HU: Final = (-1150.0, -860.0)  # beyond, a slope or intercept is wrong and nothing can be judged
POSSIBLE_TISSUE_HU: Final = (-110.0, 210.0)
MIDDLE: Final = (0.25, 0.75)  # of a series: its ends may show shoulders or bowel alone
SLICES_SAMPLED: Final = 16  # of a series

Values = NDArray[np.float32] | NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class HuScale:
    """Where air and soft tissue lie in HU; None where there is none: air may be, soft tissue may not be missing.

    A picture holds nothing beyond its window: `clips_air` and `clips_tissue` say that the value is at its end and
    the true one lies beyond.
    """

    air_hu: float | None
    tissue_hu: float | None
    clips_air: bool = False
    clips_tissue: bool = False

    @classmethod
    def of(cls, hu: Values, *, windowed: bool = False) -> HuScale:
        """Measured on some pixels, or all, of a slice or series; `windowed` for a picture."""
        # Sorted: where half is air of one value, `np.partition` takes four times as long.
        ordered = np.sort(hu, axis=None)
        # What scanners write outside a round field of view is no air.
        seen = ordered[bisect_left(ordered, BEYOND_VIEW_HU) :]
        dense = seen[bisect_right(seen, TISSUE_HU[0]) :]
        air = _percentile(seen, AIR_PERCENTILE) if seen.size else 0.0
        tissue = _soft_tissue(dense) if dense.size >= MIN_TISSUE * hu.size else None
        return cls(
            air if air < AIRLIKE_HU else None,
            tissue,
            windowed and air <= float(ordered[0]),
            windowed and tissue is not None and tissue >= float(ordered[-1]),
        )

    def lies_within(self, air: tuple[float, float], tissue: tuple[float, float]) -> bool:
        """Whether both can be inside these bounds."""
        if self.tissue_hu is None:
            return False
        plausible_air = self.air_hu is None or _within(self.air_hu, air, beyond_low=self.clips_air)
        return plausible_air and _within(self.tissue_hu, tissue, beyond_high=self.clips_tissue)

    def notes(self, *, assumed: bool = False) -> tuple[QualityNote, ...]:
        """What is said of them: nothing, or that they are implausible. An `assumed` scale is never a reason to reject:
        the caller did not state it."""
        if self.lies_within(PLAUSIBLE_AIR_HU, PLAUSIBLE_TISSUE_HU):
            return ()
        possible = assumed or self.lies_within(POSSIBLE_AIR_HU, POSSIBLE_TISSUE_HU)
        message = (
            f"Air is at {_said(self.air_hu)} and soft tissue at {_said(self.tissue_hu)}; expected "
            f"{PLAUSIBLE_AIR_HU[0]:g} to {PLAUSIBLE_AIR_HU[1]:g} and {PLAUSIBLE_TISSUE_HU[0]:g} to "
            f"{PLAUSIBLE_TISSUE_HU[1]:g} HU. Check the rescale slope and intercept, or the window."
        )
        return (QualityNote("implausible_hu", "warning" if possible else "error", message, bars_normal=True),)


def check_scale(ct_slice: CTSlice) -> tuple[QualityNote, ...]:
    """Whether the HU of a slice can be HU."""
    windowed = ct_slice.source.kind not in ("dicom", "array")
    scale = HuScale.of(_sampled(ct_slice.hu), windowed=windowed)
    return scale.notes(assumed=any(note.code == "window_assumed" for note in ct_slice.notes))


def check_volume_scale(volume: CTVolume) -> tuple[QualityNote, ...]:
    """Whether the HU of a series can be HU, by some slices of its middle taken together."""
    first, last = (round(part * (len(volume) - 1)) for part in MIDDLE)
    step = max(1, (last - first) // SLICES_SAMPLED)
    return HuScale.of(_sampled(volume.hu[first : last + 1 : step])).notes()


def _sampled(hu: Values) -> Values:
    """Every n-th pixel along rows and columns."""
    rows, columns = (max(1, side // SAMPLES) for side in hu.shape[-2:])
    return hu[..., ::rows, ::columns]


def _soft_tissue(dense: Values) -> float:
    """Of ascending values denser than TISSUE_HU's lower end; of all of them where most lie above the upper one."""
    soft = dense[: bisect_left(dense, TISSUE_HU[1])]
    return _percentile(soft if 2 * soft.size >= dense.size else dense, TISSUE_PERCENTILE)


def _percentile(ordered: Values, percent: float) -> float:
    """Of ascending values, without interpolation."""
    return float(ordered[int((ordered.size - 1) * percent / 100)])


def _within(value: float, bounds: tuple[float, float], *, beyond_low: bool = False, beyond_high: bool = False) -> bool:
    return (value >= bounds[0] or beyond_high) and (value <= bounds[1] or beyond_low)


def _said(value: float | None) -> str:
    return "no measurable value" if value is None else f"{value:.0f} HU"
