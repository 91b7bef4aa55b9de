"""From Hounsfield units to grey values, as a radiologist looks at a chest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.imaging.ct import FloatImage


@dataclass(frozen=True, slots=True)
class Window:
    """What lies between black and white, in HU."""

    centre_hu: float
    width_hu: float

    def grey(self, hu: FloatImage) -> NDArray[np.uint8]:
        """HU to uint8 grey values (PS3.3 C.11.2.1.2), air dark."""
        low = self.centre_hu - self.width_hu / 2
        return np.asarray(np.round(np.clip((hu - low) / self.width_hu, 0, 1) * 255), np.uint8)


LUNG: Final = Window(-600.0, 1500.0)
MEDIASTINUM: Final = Window(40.0, 400.0)
