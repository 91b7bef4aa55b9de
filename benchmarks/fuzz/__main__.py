"""Send mutants to a service: `python -m benchmarks.fuzz [--rounds N] [--seed S] [--out JSON]` (make fuzz-service)

The seed and a number make a mutant, always the same. Whatever the service does wrong with one is counted by its cause,
and the request is kept under build/fuzz; `--only 17 42` sends these alone. The exit code is 1 where anything was wrong.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from tqdm import tqdm

from benchmarks.fuzz.mutants import Mutant, mutant
from benchmarks.fuzz.service import Failure, Service, running
from benchmarks.fuzz.tally import Tally
from benchmarks.fuzz.verdict import Contract, Reply
from benchmarks.serving import machine
from benchmarks.serving.processes import leave_nothing_behind

CLIENTS: Final = 4
WAVE: Final = 250  # mutants after which the spool is waited for
MAX_SEARCHED: Final = 60  # requests to find which series of a wave could not be judged
MEGABYTE: Final = 1e6


def fuzz(service: Service, numbers: Sequence[int], tally: Tally, minutes: float) -> None:
    """Send the mutants of these numbers, wave by wave, and find out what went wrong with each."""
    until = time.monotonic() + 60 * minutes
    contract, lost, to_search = Contract(service.document()), 0, list[list[Mutant]]()
    with ThreadPoolExecutor(CLIENTS) as clients, tqdm(total=len(numbers), unit="mutant", file=sys.stderr) as bar:
        for at in range(0, len(numbers), WAVE):
            if time.monotonic() > until:
                break
            wave = [mutant(tally.seed, number) for number in numbers[at : at + WAVE]]
            replies = list(clients.map(service.send, wave))
            before, lost = lost, service.lost()
            if lost > before:
                taken = [reply.is_ok for reply in replies]
                to_search.append([m for m, ok in zip(wave, taken, strict=True) if ok and m.door == "stow"])
            _judge(contract, wave, replies, service.failures(), tally)
            tally.resident_mb.append(round(sum(service.resident().values()) / MEGABYTE))
            bar.update(len(wave))
    for path in service.unlisted():
        tally.fault(f"{path} is not answered", None)
    _search(service, to_search, tally)


def _judge(
    contract: Contract, wave: Sequence[Mutant], replies: Sequence[Reply], failures: Sequence[Failure], tally: Tally
) -> None:
    """Name each fault by the exception that was logged for its request, where there is one."""
    logged = {failure.request_id: failure for failure in failures if failure.request_id}
    sent = {each.request_id: each for each in wave}
    for failure in failures:
        tally.fault(failure.cause, sent.get(failure.request_id or ""))
    for each, reply in zip(wave, replies, strict=True):
        tally.answer(each, reply)
        for fault in contract.faults(each, reply):
            if each.request_id not in logged:
                tally.fault(fault, each)


def _search(service: Service, waves: Sequence[list[Mutant]], tally: Tally) -> None:
    """Find the series that could not be judged, by halves, in MAX_SEARCHED steps at most."""
    groups = list(waves)
    for _ in range(MAX_SEARCHED):
        if not groups:
            return
        group = groups.pop()
        before = service.lost()
        for each in group:
            service.send(each)
        lost, failures = service.lost() - before, service.failures()
        if lost and len(group) == 1:
            tally.fault("spooled: " + (failures[0].cause if failures else "lost"), group[0])
        elif lost:
            groups += [group[: len(group) // 2], group[len(group) // 2 :]]


def main() -> int:
    """Run, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first mutant")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", type=int, nargs="+", help="numbers of the mutants to send, instead of --rounds")
    parser.add_argument("--minutes", type=float, default=600, help="after which no further wave is sent")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    leave_nothing_behind()
    numbers = given.only or range(given.first, given.first + given.rounds)
    tally, started = Tally(given.seed), time.monotonic()
    with running(given.workers) as service:
        fuzz(service, numbers, tally, given.minutes)
        spooled, restarts, decoders = service.spooled(), service.restarts(), service.decoders_lost()
        if restarts:
            tally.fault(f"{restarts} worker(s) died", None)
    result = {
        "command": f"python -m benchmarks.fuzz --rounds {len(numbers)} --first {given.first} --seed {given.seed}",
        "machine": machine.facts(),
        "mutants": sum(tally.answers.values()),
        "seconds": round(time.monotonic() - started),
        "answers": tally.by_door(),
        "asked again when busy": service.busy,
        "spooled series": spooled,
        "slowest answer in s": round(tally.slowest_s, 2),
        "resident MB after each wave": tally.resident_mb,
        "worker restarts": restarts,
        "decoders lost by cause": decoders,
        "faults": tally.causes(),
    }
    text = json.dumps(result, indent=1, ensure_ascii=False)
    if given.out is not None:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(text + "\n", encoding="utf-8")
    sys.stdout.write(text + "\n")
    return 1 if tally.faults else 0


if __name__ == "__main__":
    sys.exit(main())
