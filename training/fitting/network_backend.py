"""A trained network in the place of a runtime, so that benchmarks ask it through the code that serves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Outputs = dict[str, NDArray[np.float32]]


@dataclass(slots=True)
class NetworkBackend:
    """What `answer` says of a batch of float32 inputs, as an `app.inference.backends.Backend`."""

    answer: Callable[[NDArray[np.float32]], Outputs]
    name: str = "keras"

    @staticmethod
    def is_available() -> bool:
        """Always: training has Keras."""
        return True

    def load(self, path: Path) -> None:
        """Nothing: it is loaded."""

    def run(self, hu: NDArray[np.float32]) -> Outputs:
        """The outputs by name."""
        return self.answer(hu)
