"""What each piece of the shipped server buys: the service with and without it, in turn, in one run.

`python -m benchmarks.serving.pieces --out JSON --page MD` (make pieces). `--before FOLDER` adds another checkout of the
project, served by its own code from this environment.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Final, get_args
from unittest import mock

from app.imaging import dicom
from app.imaging.elements import plain_elements
from app.imaging.read import read_slice
from app.machine import usable_cores
from app.settings import Piece
from benchmarks.serving import machine
from benchmarks.serving.arrivals import Task
from benchmarks.serving.closed import drive, require_wrk
from benchmarks.serving.plan import COMPARED_AT
from benchmarks.serving.processes import LOGS, REPOSITORY, Server, leave_nothing_behind, serve_ours
from benchmarks.serving.report import filled
from benchmarks.serving.slices import EXAMPLE, Body, bodies, load_slice
from benchmarks.serving.stages import OVERLOAD, PATIENCE_S, PEAK_S, RAW, READY, STEADY, run

MARK: Final = "<!-- figures: make pieces -->"
STOCK: Final = "stock"
BEFORE: Final = "the commit before"
CLOSED_S: Final = 2.0
READINGS: Final = 200
OPEN_S: Final = 6.0
KEEP_CPU: Final = 0.05  # a piece stays that buys so much of throughput or processor time
KEEP_TAIL: Final = 0.20  # or so much of the tail


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of one service: requests a second and processor time at 16 clients, p99 at 70 % of its peak, and good
    answers a second at twice that, by the peak."""

    per_s: float
    cpu_ms: float
    p99_ms: float
    goodput: float


@dataclass(frozen=True, slots=True)
class Compared:
    """A service without something, by the service with everything: medians of turns in pairs, and their range."""

    name: str
    throughput: float
    cpu: float
    tail: float
    goodput: float
    turns: tuple[tuple[Turn, Turn], ...]

    @property
    def earns_its_place(self) -> bool:
        """Whether the service is worse without it by what a piece must buy."""
        slower = self.throughput < 1 - KEEP_CPU or self.goodput < 1 - KEEP_CPU or self.cpu > 1 + KEEP_CPU
        return slower or self.tail > 1 + KEEP_TAIL


@dataclass(frozen=True, slots=True)
class Variant:
    """A service that is compared with the whole one: its variables, and the checkout whose code it runs."""

    environment: Mapping[str, str]
    checkout: Path = REPOSITORY


def variants(before: Path | None) -> dict[str, Variant]:
    """All of them by name."""
    found = {piece: Variant({"LUNGSCOPE_WITHOUT": piece}) for piece in get_args(Piece)}
    found[STOCK] = Variant({"LUNGSCOPE_SERVER": "stock"})
    if before is not None:
        found[BEFORE] = Variant({}, before.resolve())
    return found


def compare(name: str, variant: Variant, body: Body, rounds: int, workers: int) -> Compared:
    """Both services run; one works while the other waits idle."""
    with ExitStack() as stack:
        whole, other = (stack.enter_context(started(given, workers)) for given in (Variant({}), variant))
        for each in (whole, other):
            each.wait_for(READY, PATIENCE_S)
            drive(each, body, COMPARED_AT, CLOSED_S)
        turns = tuple((turn(whole, body), turn(other, body)) for _ in range(rounds))
    return Compared(
        name,
        throughput=median(b.per_s / a.per_s for a, b in turns),
        cpu=median(b.cpu_ms / a.cpu_ms for a, b in turns),
        tail=median(b.p99_ms for _, b in turns) / median(a.p99_ms for a, _ in turns),
        goodput=median(b.goodput for _, b in turns) / median(a.goodput for a, _ in turns),
        turns=turns,
    )


def started(variant: Variant, workers: int) -> Server:
    """The service, quiet."""
    environment = {"LUNGSCOPE_LOG_LEVEL": "warning", **variant.environment}
    return serve_ours(
        LOGS / "pieces.log", "--workers", str(workers), environment=environment, checkout=variant.checkout
    )


def turn(server: Server, body: Body) -> Turn:
    """What one service does in its turn."""
    load = drive(server, body, COMPARED_AT, CLOSED_S)
    server.settle()
    steady = run(Task(server.port, "", OPEN_S, OPEN_S / 5, rate=STEADY * load.rate), body)
    server.settle()
    peak = drive(server, body, COMPARED_AT, PEAK_S).rate
    server.settle()
    overload = run(Task(server.port, "", OPEN_S, OPEN_S / 5, rate=OVERLOAD * peak), body)
    server.settle()
    return Turn(load.rate, load.cpu_ms, steady.latency_ms[200]["p99"], overload.goodput / peak)


def header_walk(body: Body) -> tuple[float, float]:
    """Milliseconds of processor to read one slice in process: by the walk over its header, and by pydicom alone."""
    ways: dict[str, Callable[[bytes], object]] = {"walk": plain_elements, "pydicom": lambda _: None}
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(READINGS):
        for name, way in ways.items():
            with mock.patch.object(dicom, "plain_elements", way):
                started = time.process_time()
                read_slice(body.data)
                spent[name].append(1e3 * (time.process_time() - started))
    return median(spent["walk"]), median(spent["pydicom"])


def table(facts: Mapping[str, str], found: tuple[Compared, ...], walk_ms: tuple[float, float]) -> str:
    """The page's figures."""
    lines = ["Machine: " + ", ".join(f"{name} {value}" for name, value in facts.items()) + ".", ""]
    lines += [
        "| without | throughput | processor time a request | p99 at 70 % of the peak | goodput at twice the peak | |"
    ]
    lines += ["|---|---|---|---|---|---|"]
    for each in found:
        verdict = "" if each.name in (STOCK, BEFORE) else "earns its place" if each.earns_its_place else "does not"
        figures = (each.throughput, each.cpu, each.tail, each.goodput)
        lines.append(f"| {each.name} | " + " | ".join(f"{figure:.3f}" for figure in figures) + f" | {verdict} |")
    walk, parsed = walk_ms
    lines += [
        "",
        f"To read a slice in process takes {walk:.2f} ms by the walk over its header, {parsed:.2f} by pydicom.",
    ]
    return "\n".join(lines)


def told(found: Iterator[Compared]) -> Iterator[Compared]:
    """Each comparison, said when it is there."""
    for each in found:
        sys.stderr.write(f"{each.name}: {each.throughput:.3f} {each.cpu:.3f} {each.tail:.3f} {each.goodput:.3f}\n")
        yield each


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--only", nargs="*", help="names of pieces, `stock`, `the commit before`")
    parser.add_argument("--before", type=Path)
    parser.add_argument("--workers", type=int, default=usable_cores())
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--page", type=Path, help="whose figures are replaced")
    given = parser.parse_args()
    require_wrk()
    leave_nothing_behind()
    facts = machine.facts()
    body = bodies(load_slice(*EXAMPLE))[RAW]
    chosen = {n: e for n, e in variants(given.before).items() if not given.only or n in given.only}
    found = tuple(told(compare(n, e, body, given.rounds, given.workers) for n, e in chosen.items()))
    walk_ms = header_walk(body)
    text = table(facts, found, walk_ms)
    sys.stdout.write(text + "\n")
    written = {"machine": facts, "header walk, ms": walk_ms, "found": [asdict(each) for each in found]}
    given.out.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
    if given.page is not None:
        given.page.write_text(filled(given.page.read_text(encoding="utf-8"), text, MARK), encoding="utf-8")


if __name__ == "__main__":
    main()
