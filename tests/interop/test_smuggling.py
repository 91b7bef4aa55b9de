"""Requests of two meanings through a real nginx and a real HAProxy; `make smuggling` sends thousands."""

from __future__ import annotations

import pytest

from benchmarks.guard.smuggling.__main__ import through
from benchmarks.guard.smuggling.proxies import PROXIES, program
from tests.reports.conftest import absent

VARIANTS = 120
SEED = 22

pytestmark = pytest.mark.interop


@pytest.mark.parametrize("name", PROXIES)
def test_nobody_gets_anothers_answer_through_a_proxy(name: str) -> None:
    if program(name) is None:
        absent(f"{name} not found: make interop-tools")
    found = through(name, range(VARIANTS), SEED)
    assert found["faults"] == []
    assert found["requests of attackers"] > VARIANTS / 4  # or the proxy refuses all that is tried
    assert found["connections passed to the other worker"] > VARIANTS
