"""What a batch costs: `python -m benchmarks.batch DATA --out docs/results/batch.json`

Phantom archives of several sizes, series of eight slices, are judged by models that repeat the answers of their golden
cases: what is left is the batch itself, with reading and searching. Then a scan of DATA, packed as a zip and linked
many times, is judged by the shipped models with one worker and with two. Each run is a process of its own. Files come
from the system's cache: what a disk or a network takes comes on top of it (docs/scale.md).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from app.batch.batch import Batch, Plan, look_through, require_same
from app.batch.index import Index
from app.batch.names import Names
from app.batch.workers import LoadJudge, Workers
from app.cli.batch import loaded_judge
from app.imaging.read import quiet_decoders, spare_threads
from app.inference.backends import Outputs
from app.inference.bundle import MANIFEST_FILE, EncodedArray
from app.inference.registry import Backends, BundleNames, ModelRegistry
from app.judgement.judge import Judge
from app.settings import Settings
from app.telemetry import Metrics
from benchmarks.serving import machine
from phantoms.archive import SHOWN, write_archive

SERIES: Final = "series/lidc-0012"
SIZES: Final = (100, 1000, 10_000)
REAL: Final = 100
WORKERS: Final = (1, 2)
MB: Final = 1_000_000
KILOBYTE: Final = 1024  # the unit of ru_maxrss (getrusage(2))

Figures = dict[str, float]


class Recorded:
    """A runtime that answers everything with the outputs of the bundle's golden case."""

    name = "recorded"

    def __init__(self) -> None:
        self._outputs: dict[str, NDArray[Any]] = {}

    @staticmethod
    def is_available() -> bool:
        """Always."""
        return True

    def load(self, path: Path) -> None:
        """Take the outputs from the manifest."""
        golden = json.loads((path / MANIFEST_FILE).read_text("utf-8"))["golden"]
        self._outputs = {
            name: EncodedArray.model_validate(output).decode() for name, output in golden["outputs"].items()
        }

    def run(self, hu: NDArray[np.float32]) -> Outputs:
        """The same for each of the inputs."""
        return {name: np.repeat(output[None], len(hu), axis=0) for name, output in self._outputs.items()}


@contextmanager
def recorded_judge(settings: Settings) -> Iterator[Judge]:
    """A judge whose models cost nothing."""
    quiet_decoders()
    spare_threads()
    names = BundleNames(settings.model, settings.detector, settings.second_look, settings.view)
    backends = Backends(Recorded(), Recorded(), Recorded(), Recorded())
    registry = ModelRegistry.verified(settings.models_dir, names, backends)
    registry.load()
    yield Judge(registry, Metrics(), settings.max_slices)


def one_run(source: Path, workers: int, load: LoadJudge) -> Figures:
    """Judge an archive; what it took."""
    with tempfile.TemporaryDirectory() as folder:
        plan = Plan(source, Path(folder), workers, Names(b"benchmark"), {})
        with Index(plan.out / "index.sqlite") as index:
            require_same(plan, index)
            started, began_cpu = time.perf_counter(), time.process_time()
            look_through(plan, index)
            looked, index_cpu_s = time.perf_counter(), time.process_time() - began_cpu
            with Workers(workers, load) as at_work:
                while len(at_work.idle) < workers:
                    list(at_work.news())
                loaded = time.perf_counter()
                Batch(plan, index).judge(at_work)
                done = time.perf_counter()
            series = sum(index.counts().values())
        own, theirs = (resource.getrusage(each) for each in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        return {
            "series": series,
            "slices": len(SHOWN),
            "workers": workers,
            "index_cpu_ms_per_series": index_cpu_s * 1000 / series,
            "index_ms_per_series": (looked - started) * 1000 / series,
            "judge_ms_per_series": (done - loaded) * 1000 / series,
            "start_s": loaded - looked,
            "parent_cpu_ms_per_series": (own.ru_utime + own.ru_stime) * 1000 / series,
            "workers_cpu_ms_per_series": (theirs.ru_utime + theirs.ru_stime) * 1000 / series,
            "parent_peak_mb": own.ru_maxrss * KILOBYTE / MB,
            "worker_peak_mb": theirs.ru_maxrss * KILOBYTE / MB,
            "index_bytes_per_series": size_of(plan.out, "index.sqlite*") / series,
            "table_bytes_per_series": size_of(plan.out, "*.parquet/*") / series,
        }


def size_of(folder: Path, pattern: str) -> int:
    """Bytes of the files."""
    return sum(path.stat().st_size for path in folder.glob(pattern))


def in_own_process(source: Path, workers: int, models: str) -> Figures:
    """`one_run` in a process of its own, whose peak of memory is its own."""
    command = [sys.executable, "-m", "benchmarks.batch", str(source), "--turn", models, "--workers", str(workers)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return {name: round(value, 3) for name, value in figures.items()}


def of_phantoms(scratch: Path, sizes: Sequence[int], workers: Sequence[int]) -> list[Figures]:
    """Archives of these sizes with one worker, the smallest with each number of workers."""
    figures = []
    for size in sizes:
        archive = scratch / f"phantoms-{size}"
        write_archive(archive, size)
        counts = workers if size == sizes[0] else workers[:1]
        figures += [in_own_process(archive, count, "recorded") for count in counts]
        shutil.rmtree(archive)
    return figures


def of_scan(scratch: Path, scan: Path, times: int, workers: Sequence[int]) -> list[Figures]:
    """The scan so many times, with each number of workers."""
    archive = scratch / "scans"
    archive.mkdir()
    first = archive / "000000.zip"
    with zipfile.ZipFile(first, "w") as packed:
        for path in sorted(scan.glob("*.dcm")):
            packed.write(path, path.name)
    for number in range(1, times):
        os.link(first, archive / f"{number:06d}.zip")
    figures = [in_own_process(archive, count, "shipped") for count in workers]
    slices, packed_bytes = len(list(scan.glob("*.dcm"))), first.stat().st_size
    return [{**each, "slices": slices, "bytes": packed_bytes} for each in figures]


def report(phantoms: Sequence[Figures], scans: Sequence[Figures]) -> dict[str, Any]:
    """What is written."""
    alone = [each for each in phantoms if each["workers"] == WORKERS[0]]

    def whole_ms(each: Figures) -> float:
        return each["index_ms_per_series"] + each["judge_ms_per_series"]

    return {
        "command": "python -m benchmarks.batch DATA --out docs/results/batch.json",
        "machine": machine.facts(),
        "cost_to_smallest": {int(each["series"]): round(whole_ms(each) / whole_ms(alone[0]), 3) for each in alone},
        "phantoms": list(phantoms),
        "scans": list(scans),
        "scans_per_hour": {int(each["workers"]): round(3_600_000 / each["judge_ms_per_series"]) for each in scans},
    }


def main() -> None:
    """Parse arguments, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of the development data")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="series of the phantom archives, ascending")
    parser.add_argument("--scans", type=int, default=REAL, help="how often the scan is judged by the shipped models")
    parser.add_argument("--workers", type=int, nargs="+", default=WORKERS)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--turn", choices=("recorded", "shipped"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.turn:
        settings = Settings.load().model_copy(update={"threads": 1})
        judge = recorded_judge if given.turn == "recorded" else loaded_judge
        sys.stdout.write(json.dumps(one_run(given.data, given.workers[0], partial(judge, settings))) + "\n")
        return
    with tempfile.TemporaryDirectory() as folder:
        phantoms = of_phantoms(Path(folder), given.sizes, given.workers)
        scans = of_scan(Path(folder), (given.data / SERIES).resolve(), given.scans, given.workers)
    text = json.dumps(report(phantoms, scans), indent=1)
    sys.stdout.write(text + "\n")
    if given.out is not None:
        given.out.write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main()
