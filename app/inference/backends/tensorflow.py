"""TensorFlow runtime: the reference for every other."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.errors import BundleError
from app.inference.backends import Outputs
from app.inference.graph_operations import require_computing

SIGNATURE = "serving_default"


class TensorFlowBackend:
    """Runs `serving_default` of a SavedModel; never `model.predict`, which builds a data set for every call."""

    name = "tensorflow"

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._model: Any = None  # TensorFlow ships no types
        self._signature: Any = None
        self._input = ""  # name of the signature's one input

    @staticmethod
    def is_available() -> bool:
        """Whether TensorFlow is installed; imports nothing."""
        return importlib.util.find_spec("tensorflow") is not None

    def load(self, path: Path) -> None:
        """Load the SavedModel in `path`; raises BundleError when TensorFlow cannot read it, or may not."""
        require_computing(path)
        # Read by TensorFlow's C++ when it is imported; without it every start prints a page of notices.
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        import tensorflow as tf

        _limit_threads(tf, self._threads)
        try:
            # The signature borrows the model's variables: both must live.
            self._model = tf.saved_model.load(str(path))
            self._signature = self._model.signatures[SIGNATURE]
            (self._input,) = self._signature.structured_input_signature[1]
        except (OSError, KeyError, ValueError, tf.errors.OpError) as error:
            raise BundleError(
                found=f"{path}: a SavedModel that TensorFlow cannot load ({type(error).__name__})",
                expected=f"a SavedModel with the signature {SIGNATURE} of one input",
                remedy="Export the bundle again with scripts/export.py.",
            ) from error

    def run(self, hu: NDArray[np.float32]) -> Outputs:
        """float32 (N, size, size, 1) in HU, or what else the signature's one input takes, to its outputs, batch axis
        first. Thread-safe."""
        import tensorflow as tf

        outputs = self._signature(**{self._input: tf.constant(hu)})
        return {name: tensor.numpy() for name, tensor in outputs.items()}


def _limit_threads(tf: Any, threads: int) -> None:
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:
        # TensorFlow is already running in this process, with the threads of whoever came first.
        return
