"""Trains networks and is killed by SIGKILL at a batch: `killed_look.py RECIPE.json DATA FILTER OUT BATCH`."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from training.second_look.artefacts import train_networks
from training.second_look.config import LookConfig
from training.second_look.samples import LookBatches

RECIPE, DATA, FILTER, OUT, KILLED_AT = sys.argv[1:]
_prepare = LookBatches.__call__


def prepare_or_die(source: LookBatches, number: int) -> Any:
    if number == int(KILLED_AT):
        os.kill(os.getpid(), signal.SIGKILL)
    return _prepare(source, number)


if __name__ == "__main__":
    config = LookConfig.model_validate_json(Path(RECIPE).read_text("utf-8"))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(LookBatches, "__call__", prepare_or_die)
        train_networks(Path(DATA), config, Path(FILTER), Path(OUT), list(config.networks))
