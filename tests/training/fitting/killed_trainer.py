"""scripts/train.py, killed by SIGKILL when it asks for batch 5: `killed_trainer.py --config … --data … --out …`."""

from __future__ import annotations

import os
import runpy
import signal
from pathlib import Path

import pytest

from training.fitting.batches import Batch, BatchSource

SCRIPT = Path(__file__).resolve().parents[3] / "scripts" / "train.py"
KILLED_AT = 5
_prepare = BatchSource.__call__


def prepare_or_die(source: BatchSource, number: int) -> Batch:
    if number == KILLED_AT:
        os.kill(os.getpid(), signal.SIGKILL)
    return _prepare(source, number)


if __name__ == "__main__":
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(BatchSource, "__call__", prepare_or_die)
        runpy.run_path(str(SCRIPT), run_name="__main__")
