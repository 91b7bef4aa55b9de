"""The colours of the evidence: two hues that colour-blind readers tell apart, more opaque the stronger it is."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.inference.prediction import NEUTRAL_EVIDENCE

FOR: Final = (230, 159, 0)  # orange and blue of Okabe and Ito 2008, apart under every common colour blindness
AGAINST: Final = (0, 114, 178)
MAX_OPACITY: Final = 0.6  # the anatomy below stays visible
OUTLINE: Final = (255, 255, 255)
CASING: Final = (0, 0, 0)  # around light lines, so that they show on light tissue


def blend(grey: NDArray[np.uint8], evidence: NDArray[np.float32]) -> NDArray[np.uint8]:
    """uint8 RGB (rows, columns, 3): evidence 0-1 over grey values, both (rows, columns).

    Opacity is proportional to the distance from neutral evidence, where nothing is drawn.
    """
    strength = np.abs(evidence - NEUTRAL_EVIDENCE) / NEUTRAL_EVIDENCE
    opacity = (MAX_OPACITY * np.clip(strength, 0, 1))[..., None]
    hue = np.where((evidence > NEUTRAL_EVIDENCE)[..., None], FOR, AGAINST)
    mixed = grey[..., None] * (1 - opacity) + hue * opacity
    return np.asarray(np.round(mixed), np.uint8)
