"""Trains networks and is killed by SIGKILL at a batch of the first: `killed_sequence.py RECIPE.json DATA OUT BATCH`."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from training.sequence.artefacts import train_sequences
from training.sequence.config import SequenceConfig
from training.sequence.samples import StackBatches

RECIPE, DATA, OUT, KILLED_AT = sys.argv[1:]
_prepare = StackBatches.__call__


def prepare_or_die(source: StackBatches, number: int) -> Any:
    if number == int(KILLED_AT):
        os.kill(os.getpid(), signal.SIGKILL)
    return _prepare(source, number)


if __name__ == "__main__":
    config = SequenceConfig.model_validate_json(Path(RECIPE).read_text("utf-8"))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(StackBatches, "__call__", prepare_or_die)
        train_sequences(Path(DATA), config, Path(OUT))
