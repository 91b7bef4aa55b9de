"""The simulation of an archive and its fleet: what must hold whatever the numbers are."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.hospital import DAY_S, MACHINES, MARK, Archive, Fleet, Measured, forecast, told

MEASURED = Measured(
    slice_s=0.03,
    indexed_file_s=0.001,
    slice_bytes=500_000,
    index_bytes_per_file=100,
    row_bytes=500,
    worker_bytes=600e6,
)
ZIPS = Archive(files_per_series=1.0)


def test_few_machines_wait_for_their_cores_and_many_for_the_archive() -> None:
    few, many = forecast(MEASURED, ZIPS, Fleet(1)), forecast(MEASURED, ZIPS, Fleet(60))
    assert (few.limit, many.limit) == ("cores", "the archive")
    assert few.cores_busy > 0.9 > many.cores_busy
    assert many.judge_days >= many.moved_bytes / ZIPS.bytes_per_s / DAY_S


def test_cores_that_wait_for_nothing_take_their_time_and_no_more() -> None:
    endless = replace(ZIPS, bytes_per_s=1e15, opens_per_s=1e15, open_s=0)
    found = forecast(MEASURED, endless, Fleet(1, cores=16, bytes_per_s=1e15))
    slices = found.moved_bytes * ZIPS.compression / MEASURED.slice_bytes
    assert found.judge_days == pytest.approx(slices * MEASURED.slice_s / 16 / DAY_S, rel=0.01)


def test_a_file_for_each_slice_makes_the_index_the_first_thing_to_wait_for() -> None:
    assert forecast(MEASURED, Archive(), Fleet(1)).limit == "the index"
    assert forecast(MEASURED, ZIPS, Fleet(1)).index_days < 1


def test_more_machines_are_never_slower() -> None:
    days = [forecast(MEASURED, Archive(), Fleet(machines)).days for machines in (1, 2, 4, 8, 16, 32)]
    assert days == sorted(days, reverse=True)
    assert all(math.isfinite(each) for each in days)


def test_the_same_seed_gives_the_same_forecast() -> None:
    assert forecast(MEASURED, ZIPS, Fleet(3)) == forecast(MEASURED, ZIPS, Fleet(3))


def test_the_page_has_the_figures_of_the_measurements_in_the_repository() -> None:
    page = Path("docs/scale.md").read_text("utf-8")
    assert MARK in page
    assert told(Measured.read(), Archive(), MACHINES) in page
