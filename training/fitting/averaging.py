"""An exponential moving average of the weights, batch-norm statistics included (Polyak and Juditsky 1992)."""

from __future__ import annotations

from typing import Any  # keras is untyped

import numpy as np
from numpy.typing import NDArray

WARM_UP_STEPS = 10  # the momentum starts at 0.1, so that the random start is soon forgotten


class WeightAverage:
    """Averages of every floating-point variable of `network`; nothing at all at a momentum of 0.

    Keras' own average leaves out the batch-norm statistics, which then belong to weights that nobody uses.
    """

    def __init__(self, network: Any, momentum: float) -> None:
        self._momentum = momentum
        self._variables = [v for v in network.variables if "float" in str(v.dtype)] if momentum else []
        self.values: list[NDArray[np.float32]] = [v.numpy() for v in self._variables]

    def update(self, step: int) -> None:
        """Take in the weights after `step`, counted from 0."""
        momentum = np.float32(min(self._momentum, (1 + step) / (WARM_UP_STEPS + step)))
        for k, variable in enumerate(self._variables):
            now = np.asarray(variable.numpy(), np.float32)
            self.values[k] = now + momentum * (self.values[k] - now)

    def apply(self) -> None:
        """Put the averages in place of the weights."""
        for variable, value in zip(self._variables, self.values, strict=True):
            variable.assign(value)
