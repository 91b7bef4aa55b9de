"""A chain in a folder, with clocks that are set by hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from app.audit.chain import Chain, ChainLimits
from app.audit.event import Event

NOON = 1_780_000_000.0


@dataclass
class Clocks:
    """A wall clock that may be set, and the seconds that really pass."""

    now: float = NOON
    passed: float = 0.0
    each_s: float = 0.001
    _steps: int = field(default=0)

    def wall(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.passed

    def pass_s(self, seconds: float) -> None:
        self.now += seconds
        self.passed += seconds

    def set_by(self, seconds: float) -> None:
        self.now += seconds


@dataclass(frozen=True)
class Trail:
    """A folder of chains."""

    folder: Path
    clocks: Clocks

    @contextmanager
    def chain(self, limits: ChainLimits | None = None) -> Iterator[Chain]:
        chain = Chain.claim(self.folder, limits, wall=self.clocks.wall, monotonic=self.clocks.monotonic)
        try:
            yield chain
        finally:
            chain.close()

    def write(self, count: int, limits: ChainLimits | None = None) -> None:
        """Lines of so many requests in one chain, a second apart, after the one that opens it."""
        with self.chain(limits) as chain:
            for number in range(count):
                self.clocks.pass_s(1)
                chain.append(Event("judge_slice", "alice", request_id=f"request-{number}", decision="normal"))

    def file(self, chain: str = "chain-0") -> Path:
        """The one file of a chain."""
        (path,) = sorted((self.folder / chain).glob("*.jsonl"))
        return path


@pytest.fixture
def trail(tmp_path: Path) -> Trail:
    folder = tmp_path / "audit"
    folder.mkdir(0o700)
    return Trail(folder, Clocks())
