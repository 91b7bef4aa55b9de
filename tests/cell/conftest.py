"""Cells with the decoders of the service, and cells whose decoder of pictures fails as it is told."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.cell import template
from app.cell.cells import CellLimits, Cells

FAULTY = "tests.cell.faulty_process"
MEGABYTE = 1 << 20


@pytest.fixture(scope="module")
def cells() -> Iterator[Cells]:
    with Cells(CellLimits()) as cells:
        yield cells


class Faulty(Cells):
    """Cells of the faulty kind; `causes` are those for which some were lost."""

    def __init__(self, cpu_s: int = 1) -> None:
        self.causes: list[str] = []
        super().__init__(CellLimits(128 * MEGABYTE, cpu_s), self.causes.append)

    @property
    def processes(self) -> list[int]:
        """The template's process id, and those of the cells that live."""
        assert self._template is not None
        parent = self._template._process.pid
        return [parent, *(child for child in children(parent) if state(child) not in "ZX")]


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "X"


def used_s(pid: int) -> float:
    """Seconds of processor time that a process has used; 0 for one that is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> Iterator[Faulty]:
    monkeypatch.setattr(template, "MODULE", FAULTY)
    with Faulty() as faulty:
        yield faulty
