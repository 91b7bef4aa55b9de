"""Requests of two meanings through a real nginx and a real HAProxy (make smuggling):

`python -m benchmarks.guard.smuggling [--variants N] [--seed S] [--only NUMBER...] [--out JSON]`

After each variant two others ask through the same proxy. Each must get its own answer, and the service may see no
request that the proxy did not send. The exit code is 1 where anything was confused.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tqdm import tqdm

from benchmarks.guard.smuggling.exchange import Found, faults_of, reached, try_variant
from benchmarks.guard.smuggling.listener import listening_at, read
from benchmarks.guard.smuggling.proxies import PROXIES, proxy, version
from benchmarks.guard.smuggling.variants import variant
from benchmarks.serving import machine


def through(name: str, numbers: Sequence[int], seed: int) -> dict[str, Any]:
    """What came of these variants through one proxy; they go to its strict and its lenient door in turn."""
    found = Found()
    with TemporaryDirectory(prefix="lungscope-") as folder:
        notes = Path(folder) / "notes"
        with listening_at(Path(folder), notes) as service, proxy(name, Path(folder), service) as doors:
            for number in tqdm(numbers, desc=name, file=sys.stderr):
                try_variant(variant(seed, number), doors[number % 2], found)
        noted = read(notes)
    return {
        "proxy": version(name),
        "variants": found.variants,
        "answers to the attacker": dict(found.answers.most_common()),
        **reached(noted),
        "asked again after 502 to 504": found.asked_again,
        "faults": found.faults + faults_of(noted),
    }


def main() -> int:
    """Run, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variants", type=int, default=2000, help="through each proxy")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, nargs="+", help="numbers of the variants to send")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    started = time.monotonic()
    numbers = given.only or range(given.variants)
    through_each = [through(name, numbers, given.seed) for name in PROXIES]
    result = {
        "command": f"python -m benchmarks.guard.smuggling --variants {len(numbers)} --seed {given.seed}",
        "machine": machine.facts(),
        "through": through_each,
        "seconds": round(time.monotonic() - started),
    }
    text = json.dumps(result, indent=1, ensure_ascii=False)
    if given.out is not None:
        given.out.write_text(text + "\n", encoding="utf-8")
    sys.stdout.write(text + "\n")
    return 1 if any(each["faults"] for each in through_each) else 0


if __name__ == "__main__":
    sys.exit(main())
