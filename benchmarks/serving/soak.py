"""Hours of use in minutes: `python -m benchmarks.serving.soak --out JSON [--requests N] [--minutes M]` (make soak)

Keeps clients busy with raw and form bodies in turn and reads the resident memory of every worker after each segment.
Bounded by requests and minutes; it writes after every segment, so that an interrupt or a kill loses none of what was
reached. It cannot go on later: the memory in question is that of one process.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import cycle
from pathlib import Path
from typing import Final

from tqdm import tqdm

from app.machine import usable_cores
from benchmarks.serving import machine
from benchmarks.serving.closed import drive, require_wrk
from benchmarks.serving.plan import COMPARED_AT
from benchmarks.serving.processes import Server, leave_nothing_behind
from benchmarks.serving.slices import EXAMPLE, bodies, load_slice
from benchmarks.serving.stages import PATIENCE_S, READY, start_service, workers_mb

REQUESTS: Final = 200_000
MINUTES: Final = 60.0
SETTLED: Final = 5_000  # requests after which memory should not grow
SEGMENT_S: Final = 5.0
ALLOWED_GROWTH: Final = 1.05


@dataclass(frozen=True, slots=True)
class Segment:
    """Requests answered until its end, those that failed in it, requests a second, and megabytes of each worker."""

    requests: int
    failed: int
    rate: float
    resident_mb: tuple[float, ...]

    @property
    def total_mb(self) -> float:
        """Of all workers."""
        return sum(self.resident_mb)


def growth(segments: Sequence[Segment]) -> float | None:
    """Memory at the end by that after SETTLED requests; None before that many."""
    settled = next((segment for segment in segments if segment.requests >= SETTLED), None)
    return None if settled is None else segments[-1].total_mb / settled.total_mb


def soak(server: Server, requests: int, minutes: float) -> Iterator[Segment]:
    """One segment after another until either bound."""
    sent = load_slice(*EXAMPLE)
    kinds = [bodies(sent)[name] for name in ("dicom, raw", "dicom, form", "png, raw")]
    deadline, done = time.monotonic() + 60 * minutes, 0
    for body in cycle(kinds):
        load = drive(server, body, COMPARED_AT, SEGMENT_S)
        done += load.requests - load.failed
        yield Segment(done, load.failed, load.rate, tuple(workers_mb(server)))
        if done >= requests or time.monotonic() >= deadline:
            return


def main() -> None:
    """Run, and write after every segment."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--requests", type=int, default=REQUESTS)
    parser.add_argument("--minutes", type=float, default=MINUTES)
    parser.add_argument("--workers", type=int, default=usable_cores())
    given = parser.parse_args()
    require_wrk()
    leave_nothing_behind()
    facts, segments = machine.facts(), list[Segment]()
    with start_service(given.workers) as server, tqdm(total=given.requests, unit="request", file=sys.stderr) as bar:
        server.wait_for(READY, PATIENCE_S)
        try:
            for segment in soak(server, given.requests, given.minutes):
                segments.append(segment)
                bar.update(segment.requests - bar.n)
                _write(given.out, facts, segments)
        except KeyboardInterrupt:
            sys.stderr.write("stopped; what was reached is written\n")
    found = growth(segments)
    words = "not enough requests to say" if found is None else f"{found:.3f} (at most {ALLOWED_GROWTH})"
    sys.stdout.write(
        f"{segments[-1].requests if segments else 0} requests; memory at the end by that after {SETTLED}: {words}\n"
    )


def _write(path: Path, facts: dict[str, str], segments: Sequence[Segment]) -> None:
    last = segments[-1]
    content = {
        "machine": facts,
        "requests": last.requests,
        "failed": sum(segment.failed for segment in segments),
        "growth": growth(segments),
        "allowed": ALLOWED_GROWTH,
        "segments": [asdict(segment) for segment in segments],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
