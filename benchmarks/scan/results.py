"""Everything that the benchmark measures, as it stands in docs/results/scan.json."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from benchmarks.scan.answers import Frozen
from benchmarks.scan.chest_slices import ChestRow
from benchmarks.scan.false_alarms import FalseAlarms


class ScanResults(Frozen):
    """The command, the weights of the second look's networks by name, and each part that was run."""

    command: str
    networks: dict[str, str]
    chest_slices: tuple[ChestRow, ...] | None = None
    false_alarms: FalseAlarms | None = None

    @classmethod
    def read(cls, path: Path) -> Self:
        """What was written; raises OSError without a file and ValidationError where it is of another version."""
        return cls.model_validate_json(path.read_text("utf-8"))
