"""What decides the weights of a network over slices: its recipe, the stacks it sees, and its code."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from app.imaging import patches
from app.inference import sequence
from training.fitting import averaging, fit_loop
from training.fitting.identity import Facts, code_facts, recipe_facts
from training.sequence import fit, network, samples, stacks
from training.sequence.config import SequenceConfig

RECIPE: Final = {"seed", "input", "network", "augment", "learning"}
MODULES: Final = (fit, network, samples, stacks, averaging, fit_loop, sequence, patches)


def sequence_facts(data: str, left_out: int | None, config: SequenceConfig) -> Facts:
    """Everything that two runs must share to reach the same weights on one machine; `data` is the stacks' digest and
    `left_out` the fold that is not seen."""
    code = code_facts(Path(str(module.__file__)) for module in MODULES)
    return {**recipe_facts(config, RECIPE), "data": data, "fold left out": str(left_out), **code}
