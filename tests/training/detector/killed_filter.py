"""Trains a recipe's filters and is killed by SIGKILL at a batch: `killed_filter.py RECIPE.json DATA OUT BATCH`."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from training.detector.artefacts import train_filters
from training.detector.config import DetectorConfig
from training.detector.samples import DetectorBatches

RECIPE, DATA, OUT, KILLED_AT = sys.argv[1:]
_prepare = DetectorBatches.__call__


def prepare_or_die(source: DetectorBatches, number: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    if number == int(KILLED_AT):
        os.kill(os.getpid(), signal.SIGKILL)
    return _prepare(source, number)


if __name__ == "__main__":
    config = DetectorConfig.model_validate_json(Path(RECIPE).read_text("utf-8"))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(DetectorBatches, "__call__", prepare_or_die)
        train_filters(Path(DATA), config, Path(OUT), list(config.filters))
