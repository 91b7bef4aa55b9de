"""What the benchmark says of the machine."""

from __future__ import annotations

import pytest

from benchmarks.serving import machine
from benchmarks.serving.machine import Stolen


@pytest.mark.parametrize(
    ("stat", "fraction"),
    [
        pytest.param("cpu  170 0 30 700 0 0 0 150 0 0", 0.25, id="50 of 200 ticks since 100 of 850"),
        pytest.param("cpu  100 0 30 620 0 0 0 100 0 0", 0.0, id="no time has gone by"),
        pytest.param(None, 0.0, id="no such file"),
    ],
)
def test_stolen_is_what_the_host_took_since_the_beginning(
    monkeypatch: pytest.MonkeyPatch, stat: str | None, fraction: float
) -> None:
    before = "cpu  100 0 30 620 0 0 0 100 0 0"
    lines: list[list[str]] = [[before, "cpu0 1"], [stat, "cpu0 1"]] if stat else [[], []]
    monkeypatch.setattr(machine, "_lines", lambda _: lines.pop(0))
    stolen = Stolen()
    assert stolen.fraction() == pytest.approx(fraction)
