"""How much of the lungs is as thin as emphysema."""

from __future__ import annotations

from typing import Final

import numpy as np

from app.imaging.volume import CTVolume
from app.imaging.volume_lungs import VolumeLungs

# Gevenois et al. 1995 (doi 10.1164/ajrccm.152.2.7633722), on 1 mm slices. Noise and sharp kernels raise the share,
# thick slices lower it: it is compared only with scans of like kernel and thickness.
EMPHYSEMA_HU: Final = -950
APART_MM: Final = 2.5  # between slices that are counted


def share_below_950(volume: CTVolume, lungs: VolumeLungs) -> float | None:
    """Share of the lungs' pixels, nodules and vessels within them included, below EMPHYSEMA_HU, on a slice about every
    APART_MM; None without lungs."""
    below = of = 0
    for k in range(0, len(volume), max(1, round(APART_MM / volume.spacing_mm[0]))):
        if lungs.areas_cm2[k]:
            mask = lungs.mask_at(k)
            below += int(np.count_nonzero((volume.hu[k] < EMPHYSEMA_HU) & mask))
            of += int(np.count_nonzero(mask))
    return below / of if of else None
