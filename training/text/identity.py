"""What decides the weights of a report tagger: its recipe, the reports it sees, and its code."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from app.text import tokens
from training.fitting import averaging
from training.fitting.identity import Facts, code_facts, recipe_facts
from training.text import fit, network, samples
from training.text.config import TaggerConfig
from training.text.reports import Report, reports_digest

RECIPE: Final = {"seed", "input", "network", "learning"}
CODE: Final = (fit.__file__, network.__file__, samples.__file__, averaging.__file__, tokens.__file__)


def tagger_facts(reports: Sequence[Report], config: TaggerConfig) -> Facts:
    """Everything that two runs must share to reach the same weights on one machine."""
    return {**recipe_facts(config, RECIPE), "data": reports_digest(reports), **code_facts(map(Path, CODE))}
