"""Runs a batch in process, and reads its tables back."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from app.batch.batch import Plan, run_batch
from app.batch.index import Index
from app.batch.names import Names
from app.judgement.judge import Judge
from tests.batch import judges

KEY = b"k" * 32
TABLES = ("series", "findings", "failures")
Load = Callable[[], AbstractContextManager[Judge]]
Row = dict[str, Any]


def run(
    source: Path, out: Path, load: Load, *, workers: int = 1, key: bytes | None = KEY, part_series: int = 4
) -> None:
    out.mkdir(exist_ok=True)
    with Index(out / "index.sqlite") as index:
        run_batch(plan_of(source, out, workers, key, part_series), index, load)


def plan_of(source: Path, out: Path, workers: int = 1, key: bytes | None = KEY, part_series: int = 4) -> Plan:
    return Plan(source, out, workers, Names(key), {"models": "arithmetic"}, part_series)


def arithmetic(models: Path) -> Load:
    return partial(judges.arithmetic, models)


def rows_of(out: Path) -> dict[str, list[Row]]:
    """All rows of all tables, in the order of their parts."""
    return {name: pq.read_table(out / f"{name}.parquet").to_pylist() for name in TABLES}


def bytes_of(out: Path) -> dict[str, bytes]:
    """Every part by its name."""
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*.parquet") if path.is_file()}
