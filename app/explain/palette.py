"""The colours of the evidence: two hues that colour-blind readers tell apart, more opaque the stronger it is."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.inference.prediction import NEUTRAL_EVIDENCE

Colour = tuple[int, int, int]  # RGB

FOR: Final[Colour] = (230, 159, 0)  # orange and blue of Okabe and Ito 2008, apart under every common colour blindness
AGAINST: Final[Colour] = (0, 114, 178)
MAX_OPACITY: Final = 0.6  # the anatomy below stays visible
OUTLINE: Final[Colour] = (255, 255, 255)
FAINT: Final[Colour] = (150, 150, 150)  # of what does not count in the decision
CASING: Final[Colour] = (0, 0, 0)  # around light lines, so that they show on light tissue


def blend(grey: NDArray[np.uint8], evidence: NDArray[np.float32]) -> NDArray[np.uint8]:
    """uint8 RGB (rows, columns, 3): evidence 0-1 over grey values, both (rows, columns).

    Opacity is proportional to the distance from neutral evidence, where nothing is drawn.
    """
    rgb = np.repeat(grey[..., None], 3, axis=2)
    coloured = evidence != NEUTRAL_EVIDENCE
    here = evidence[coloured]
    opacity = (MAX_OPACITY * np.clip(np.abs(here - NEUTRAL_EVIDENCE) / NEUTRAL_EVIDENCE, 0, 1))[:, None]
    hue = np.where((here > NEUTRAL_EVIDENCE)[:, None], FOR, AGAINST)
    rgb[coloured] = np.round(grey[coloured][:, None] * (1 - opacity) + hue * opacity)
    return rgb
