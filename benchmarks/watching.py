"""What the watch costs a judgement, beside judging itself in the same run: `python -m benchmarks.watching`.

Prints microseconds of processor time, the least of several runs, for the example slice and the shipped models.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from timeit import timeit
from typing import Final

from app.api.routes.docs import EXAMPLE_SLICE
from app.judgement.judge import Judge
from app.judgement.parameters import Parameters
from app.main import create_app
from app.settings import Settings
from app.telemetry import Metrics

ASKED: Final = {"a place": Parameters(roi_px=(148.0, 240.0)), "a whole slice": Parameters()}
JUDGED: Final = 10  # a run
NOTED: Final = 100
RUNS: Final = 5
MAX_SLICES: Final = 2


def main() -> None:
    """Measure each kind of question."""
    with tempfile.TemporaryDirectory() as folder:
        services = create_app(Settings(threads=1, feedback_dir=Path(folder))).state.services
        services.registry.load()
        watch, judge = services.watch, Judge(services.registry, Metrics(), MAX_SLICES)
        data = EXAMPLE_SLICE.read_bytes()
        for name, parameters in ASKED.items():
            judgement = judge.slice(data, parameters)
            noting_us, writing_us = _least_us(partial(watch.noted, judgement), NOTED, watch.write)
            judging_us, _ = _least_us(partial(judge.slice, data, parameters), JUDGED)
            found, share = len(judgement.prediction.findings), noting_us / judging_us
            sys.stdout.write(
                f"{name}, findings {found}: judging {judging_us:.0f} us, noting {noting_us:.0f} us ({share:.1%}), "
                f"writing it later {writing_us / NOTED:.0f} us\n"
            )


def _least_us(work: Callable[[], object], number: int, after: Callable[[], object] = int) -> tuple[float, float]:
    """Of one call of `work`, and of `after` all of them."""
    runs = [
        (
            timeit(work, number=number, timer=time.process_time) / number * 1e6,
            timeit(after, number=1, timer=time.process_time) * 1e6,
        )
        for _ in range(RUNS)
    ]
    return min(work for work, _ in runs), min(after for _, after in runs)


if __name__ == "__main__":
    main()
