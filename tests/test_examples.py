"""The answers that the docs pages show are those of the shipped service; scripts/make_examples.py writes them."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from benchmarks.serving.examples import ANSWERS_FILE, REQUESTS
from benchmarks.serving.service import Service

TOLERANCE = 0.05  # of probabilities, pixels and millimetres: another processor rounds otherwise
OF_ONE_RUN = re.compile(r"/(timing_ms/\w+|backend)$")  # the same in no two requests, or wherever it is installed


def extent(outline: list[list[float]]) -> list[float]:
    """Left, top, right and bottom: how many points lie between is a matter of rounding."""
    columns, rows = zip(*outline, strict=True)
    return [min(columns), min(rows), max(columns), max(rows)]


def leaves(value: Any, path: str = "") -> dict[str, Any]:
    """Every number and text of an answer by its place, where it must be the same."""
    if path.endswith("/outline_px") and value:
        value = extent(value)
    if not isinstance(value, dict | list):
        return {path: None if OF_ONE_RUN.search(path) else value}
    parts = value.items() if isinstance(value, dict) else enumerate(value)
    return {place: leaf for key, part in parts for place, leaf in leaves(part, f"{path}/{key}").items()}


@pytest.mark.parametrize("name", REQUESTS)
def test_the_shipped_service_answers_as_the_docs_page_says(service: Service, name: str) -> None:
    shown, said = json.loads(ANSWERS_FILE.read_text("utf-8"))[name], REQUESTS[name].answer(service.url(""))
    assert shown.keys() == said.keys()
    assert leaves(said) == {
        place: pytest.approx(leaf, abs=TOLERANCE) if isinstance(leaf, float) else leaf
        for place, leaf in leaves(shown).items()
    }
