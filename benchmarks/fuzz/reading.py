"""Damage image files at random and read them: `python -m benchmarks.fuzz.reading [--rounds N] FILE_OR_FOLDER ...`

Each file is read in a process of its own, so that a crash, a hang or a swollen memory names its file and round.
Reading must give a finite slice or an InputError; anything else is reported and the exit code is 1.
"""

from __future__ import annotations

import argparse
import collections
import json
import random
import resource
import signal
import subprocess
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from app.errors import InputError
from app.imaging.options import ReadOptions
from app.imaging.read import quiet_decoders, read_slice
from benchmarks.fuzz.damage import damaged

MAX_SECONDS_EACH = 20
MAX_MEMORY_MB = 1024


def read_damaged(path: Path, first: int, rounds: int) -> collections.Counter[str]:
    """Outcomes by class; a round that fails the contract stops the process."""
    quiet_decoders()
    data, outcomes = path.read_bytes(), collections.Counter[str]()
    for seed in range(first, first + rounds):
        mutant = damaged(data, random.Random(seed))
        signal.alarm(MAX_SECONDS_EACH)
        try:
            ct_slice = read_slice(mutant, ReadOptions(frame=1 if seed % 2 else None, pixel_spacing_mm=(0.7, 0.7)))
        except InputError as error:
            outcomes[type(error).__name__] += 1
        except Exception:
            traceback.print_exc()
            sys.exit(f"seed {seed}")
        else:
            outcomes["read"] += 1
            if not np.isfinite(ct_slice.hu).all():
                sys.exit(f"seed {seed}: not finite")
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        if peak_mb > MAX_MEMORY_MB:
            sys.exit(f"seed {seed}: {peak_mb} MB")
    outcomes["peak MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return outcomes


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _in_own_process(path: Path, first: int, rounds: int) -> bool:
    command = [
        sys.executable,
        "-m",
        "benchmarks.fuzz.reading",
        "--only",
        str(path),
        "--first",
        str(first),
        "--rounds",
        str(rounds),
    ]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    verdict = run.stdout if run.returncode == 0 else f"FAILED ({run.returncode}) {run.stderr[-1500:]}"
    say(f"{path.name[-60:]}: {verdict.strip()}")
    return run.returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("paths", nargs="*", type=Path, help="image files, or folders of them")
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--first", type=int, default=0, help="seed of the first round")
    parser.add_argument("--only", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.only is not None:
        say(json.dumps(read_damaged(given.only, given.first, given.rounds)))
        return 0
    files = [f for path in given.paths for f in (sorted(path.iterdir()) if path.is_dir() else [path])]
    with ThreadPoolExecutor(2) as pool:
        good = list(pool.map(lambda f: _in_own_process(f, given.first, given.rounds), files))
    say(f"{sum(good)} of {len(good)} files, {given.rounds} rounds each, kept the contract")
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
