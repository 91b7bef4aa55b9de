"""What the result objects of a series cost beside judging it: processor time, in process, and bytes.

python -m benchmarks.objects_cost FOLDER
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

from app.cli.models import verified_registry
from app.imaging.read import quiet_decoders
from app.judgement.formats import draw_slice
from app.judgement.judge import Judge
from app.judgement.parameters import Parameters
from app.judgement.spooled import headers_in
from app.reports.dicom import WRITERS, quiet_highdicom, to_bytes
from app.reports.fhir import write_bundle
from app.reports.report import Kind, Report
from app.settings import Settings
from app.telemetry import Metrics

T = TypeVar("T")
MEGABYTE = 1_000_000
ROUNDS = 3  # the first draws fonts and fills caches, as the first series of a process does


def main() -> None:
    """Judge a series once, write its objects ROUNDS times, and print shares and sizes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    paths = sorted(parser.parse_args().folder.rglob("*.dcm"))
    quiet_decoders()
    quiet_highdicom()
    registry = verified_registry(Settings())
    registry.load()
    judge = Judge(registry, Metrics(), max_slices=2000)
    started = time.process_time()
    judgement = judge.files(paths, Parameters(), lambda *_: None, lambda: False)
    judged = time.process_time() - started
    source = sum(path.stat().st_size for path in paths)
    findings = len(judgement.prediction.findings)
    _say(f"{len(paths)} slices, {source / MEGABYTE:.1f} MB, {findings} findings: judged in {judged:.2f} s of CPU")
    for _ in range(ROUNDS):
        spent, size = 0.0, 0
        headers, seconds = _timed(lambda: headers_in(paths, judgement.shown_instances))
        spent += _line("headers", seconds, judged, "")
        for name, files, seconds in _written(judgement.report(headers, datetime.now().astimezone())):
            said = f"{len(files)} of {sum(map(len, files)) / MEGABYTE:.2f} MB"
            spent, size = spent + _line(name, seconds, judged, said), size + sum(map(len, files))
        _line("all", spent, judged, f"{size / MEGABYTE:.2f} MB, {size / source:.1%} of the source")


def _written(report: Report) -> list[tuple[str, Sequence[bytes], float]]:
    kinds: list[tuple[str, Sequence[bytes], float]] = []
    for kind in WRITERS:
        made, seconds = _timed(partial(_files, report, kind))
        kinds.append((kind, made, seconds))
    made, seconds = _timed(lambda: [str(write_bundle(report)).encode()])
    return [*kinds, ("fhir", made, seconds)]


def _files(report: Report, kind: Kind) -> list[bytes]:
    return [to_bytes(instance) for write in WRITERS[kind](report, draw_slice) if (instance := write()) is not None]


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    started = time.process_time()
    made = work()
    return made, time.process_time() - started


def _line(name: str, seconds: float, judged: float, said: str) -> float:
    _say(f"{name}: {seconds * 1000:.0f} ms, {seconds / judged:.1%} {said}")
    return seconds


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    main()
