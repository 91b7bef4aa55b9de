"""One file per model runtime, all behind one protocol. A runtime is imported only in its own file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Outputs = Mapping[str, NDArray[np.float32]]


class Backend(Protocol):
    """A runtime with one SavedModel loaded."""

    name: str

    @staticmethod
    def is_available() -> bool:
        """Whether the runtime is installed; imports nothing."""
        ...

    def load(self, path: Path) -> None:
        """Load the SavedModel in `path`; raises BundleError when it cannot be read."""
        ...

    def run(self, hu: NDArray[np.float32]) -> Outputs:
        """float32 (N, size, size, 1) in HU to the outputs named in the manifest, batch axis first. Thread-safe."""
        ...
