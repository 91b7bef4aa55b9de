"""Everything that the benchmark measures, as it stands in docs/results/scan.json."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Self

from pydantic import Field

from benchmarks.scan.agreement import PlaceSaid
from benchmarks.scan.answers import Frozen
from benchmarks.scan.chest_slices import ChestRow
from benchmarks.scan.curves import ByOthers, CurvePoint
from benchmarks.scan.false_alarms import FalseAlarms
from benchmarks.scan.planted_series import PlantedSeries
from benchmarks.scan.planted_slices import PlantedSlices
from benchmarks.scan.reformats import Reformats

PARTS: Final = ("chest_slices", "false_alarms", "planted_series", "planted_slices", "agreement", "reformats")


class ScanResults(Frozen):
    """The command, the weights of the second look's networks by name, the digests of the bundles, and each part that
    was run."""

    command: str
    networks: dict[str, str]
    bundles: dict[str, str] = Field(default_factory=dict)
    chest_slices: tuple[ChestRow, ...] | None = None
    false_alarms: FalseAlarms | None = None
    planted_series: tuple[PlantedSeries, ...] | None = None
    planted_slices: tuple[PlantedSlices, ...] | None = None
    curve: tuple[CurvePoint, ...] | None = None
    by_others: tuple[ByOthers, ...] | None = None
    agreement: tuple[PlaceSaid, ...] | None = None
    reformats: Reformats | None = None

    @classmethod
    def read(cls, path: Path) -> Self:
        """What was written; raises OSError without a file and ValidationError where it is of another version."""
        return cls.model_validate_json(path.read_text("utf-8"))
