"""What an archive asks of machines, disks and network, on paper: `python -m benchmarks.hospital --page docs/scale.md`

A simulation with numbers that were measured (batch.json and series.json in docs/results) and numbers that are assumed.
A fleet of machines shares an archive. Each machine indexes its share, one file after the other, and then judges it on
all cores, as `lungscope batch` does. A core that judges a series waits for its files first, and all wait for one
archive, which hands out so many bytes and opens so many files a second. Some thousand series stand for all.
"""

from __future__ import annotations

import argparse
import heapq
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.serving.report import filled

REPOSITORY: Final = Path(__file__).parents[1]
RESULTS: Final = REPOSITORY / "docs" / "results"
MARK: Final = "<!-- figures: python -m benchmarks.hospital -->"
SAMPLE: Final = 30_000  # series that are simulated: many for each core, so that the last ones do not count
MACHINES: Final = (1, 4, 8, 16, 32)
DAY_S: Final = 86_400
GIGABIT: Final = 1e9 / 8  # bytes
GB: Final = 1e9


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured on one core. Seconds are of processor time; `row_bytes` of a series in all tables."""

    slice_s: float
    indexed_file_s: float
    slice_bytes: float
    index_bytes_per_file: float
    row_bytes: float
    worker_bytes: float

    @classmethod
    def read(cls, results: Path = RESULTS) -> Measured:
        """What a series of 600 slices costs the judge by `benchmarks.series`, the rest by `benchmarks.batch`."""
        figures, series = (json.loads((results / name).read_text("utf-8")) for name in ("batch.json", "series.json"))
        scan, phantoms, judged_series = figures["scans"][0], figures["phantoms"][-1], series["series"][-1]
        files = phantoms["slices"]
        return cls(
            slice_s=judged_series["cpu_ms_per_slice"] / 1000,
            indexed_file_s=phantoms["index_cpu_ms_per_series"] / files / 1000,
            slice_bytes=scan["bytes"] / scan["slices"],
            index_bytes_per_file=phantoms["index_bytes_per_series"] / files,
            row_bytes=phantoms["table_bytes_per_series"],
            worker_bytes=judged_series["first_peak_mb"] * 1e6,
        )


@dataclass(frozen=True, slots=True)
class Archive:
    """Assumed, not measured: an archive of a large hospital, and what holds it. `compression` is lossless, as archives
    store it; `open_s` is how long one file keeps whoever asks for it waiting."""

    series: int = 10_000_000
    median_slices: float = 200.0
    spread: float = 0.7  # of the logarithm: one in ten has more than 490 slices
    most_slices: int = 1500  # LUNGSCOPE_MAX_SLICES
    compression: float = 2.0
    bytes_per_s: float = 10 * GIGABIT
    opens_per_s: float = 20_000.0
    open_s: float = 0.001
    files_per_series: float | None = None  # None: one a slice; 1: a zip

    def files(self, slices: float) -> float:
        """Files of a series with so many slices."""
        return slices if self.files_per_series is None else self.files_per_series


@dataclass(frozen=True, slots=True)
class Fleet:
    """Machines with so many cores, a worker on each."""

    machines: int
    cores: int = 16
    bytes_per_s: float = 10 * GIGABIT  # of a machine's own network


@dataclass(frozen=True, slots=True)
class Forecast:
    """Days of both steps, how busy cores and archive are while the fleet judges, and bytes: moved, of tables, of one
    machine's index and memory. `limit` names what a larger fleet would wait for."""

    index_days: float
    judge_days: float
    cores_busy: float
    archive_busy: float
    moved_bytes: float
    table_bytes: float
    index_bytes: float
    memory_bytes: float
    limit: str

    @property
    def days(self) -> float:
        """Both steps, one after the other."""
        return self.index_days + self.judge_days


def forecast(measured: Measured, archive: Archive, fleet: Fleet, seed: int = 1) -> Forecast:
    """What this fleet takes for this archive."""
    drawn = np.random.default_rng(seed).lognormal(np.log(archive.median_slices), archive.spread, SAMPLE)
    slices = np.clip(np.round(drawn), 2, archive.most_slices)
    times = archive.series / SAMPLE  # one that is simulated stands for so many
    files = sum(archive.files(each) for each in slices) * times
    look_s = archive.open_s + measured.indexed_file_s
    index_s = max(files / fleet.machines * look_s, files / archive.opens_per_s)
    judge_s, cores_busy, archive_busy = judged(measured, archive, fleet, slices)
    return Forecast(
        index_days=index_s / DAY_S,
        judge_days=judge_s * times / DAY_S,
        cores_busy=cores_busy,
        archive_busy=archive_busy,
        moved_bytes=slices.sum() * times * measured.slice_bytes / archive.compression,
        table_bytes=archive.series * measured.row_bytes,
        index_bytes=files / fleet.machines * measured.index_bytes_per_file,
        memory_bytes=fleet.cores * measured.worker_bytes,
        limit="the index" if index_s > judge_s * times else "the archive" if archive_busy > 0.9 else "cores",
    )


def judged(
    measured: Measured, archive: Archive, fleet: Fleet, slices: NDArray[np.float64]
) -> tuple[float, float, float]:
    """Seconds until all cores are done with these series, and the parts of it in which cores and archive are busy."""
    cores = fleet.machines * fleet.cores
    free_at = [0.0] * cores  # each of them; a heap
    archive_free_at = core_s = archive_s = 0.0
    rate = min(archive.bytes_per_s, fleet.machines * fleet.bytes_per_s)
    for count in slices.tolist():
        asked = heapq.heappop(free_at)
        size = count * measured.slice_bytes / archive.compression
        handing_out = max(size / rate, archive.files(count) / archive.opens_per_s)
        begun = max(asked, archive_free_at)
        archive_free_at = begun + handing_out
        arrived = max(archive_free_at, begun + archive.files(count) * archive.open_s)
        computing = count * measured.slice_s
        heapq.heappush(free_at, arrived + computing)
        core_s, archive_s = core_s + computing, archive_s + handing_out
    done = max(free_at)
    return done, core_s / done / cores, archive_s / done


def told(measured: Measured, archive: Archive, machines: Sequence[int]) -> str:
    """A table of fleets as Markdown."""
    rows = [
        "| machines | files | index, days | judging, days | cores busy | archive busy | waits for |",
        "|---|---|---|---|---|---|---|",
    ]
    zips = Archive(files_per_series=1.0)
    for count in machines:
        for name, each in (("one a slice", archive), ("a zip a series", zips)):
            f = forecast(measured, each, Fleet(count))
            rows.append(
                f"| {count} | {name} | {f.index_days:.1f} | {f.judge_days:.1f} | {f.cores_busy:.0%} "
                f"| {f.archive_busy:.0%} | {f.limit} |"
            )
    one = forecast(measured, archive, Fleet(machines[0]))
    moved_tb, table_gb = one.moved_bytes / 1e12, one.table_bytes / GB
    index_gb, memory_gb = one.index_bytes * machines[0] / GB, one.memory_bytes / GB
    words = (
        f"{archive.series:,} series are {moved_tb:,.0f} TB on the network and {table_gb:,.0f} GB of tables; with a",
        f"file for each slice, {index_gb:,.0f} GB of index on all machines together. The workers of a machine of",
        f"{Fleet(1).cores} cores take {memory_gb:.0f} GB of memory.",
    )
    return "\n".join([*rows, "", *words])


def main() -> None:
    """Parse arguments, simulate, write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--machines", type=int, nargs="+", default=MACHINES)
    parser.add_argument("--page", type=Path)
    given = parser.parse_args()
    text = told(Measured.read(), Archive(), given.machines)
    sys.stdout.write(text + "\n")
    if given.page:
        given.page.write_text(filled(given.page.read_text("utf-8"), text, MARK), "utf-8")


if __name__ == "__main__":
    main()
