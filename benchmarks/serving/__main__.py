"""`python -m benchmarks.serving [--quick] [--without-peers] --out JSON --chart PNG --page MD` (make bench)

One run: in-process loop, the service, its peers, fixed rates; see docs/benchmarks.md. Everything is on 127.0.0.1,
bounded in time, and ended by process id.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar

from app.inference.bundle import load_bundle
from app.machine import usable_cores
from benchmarks.serving import machine, memory_pace, report, rivals, stages
from benchmarks.serving.ceiling import TENSORFLOW
from benchmarks.serving.chart import draw
from benchmarks.serving.closed import require_wrk
from benchmarks.serving.peers.reading import BUNDLE
from benchmarks.serving.plan import FULL, QUICK
from benchmarks.serving.processes import REPOSITORY, Server, leave_nothing_behind
from benchmarks.serving.results import Results
from benchmarks.serving.slices import EXAMPLE, REAL, bodies, load_slice

P = ParamSpec("P")
T = TypeVar("T")


def say(text: str) -> None:
    """What is going on, on standard error."""
    sys.stderr.write(f"[{time.strftime('%H:%M:%S')}] {text}\n")
    sys.stderr.flush()


def begun(what: str, stage: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
    """What a stage finds, said when it begins."""
    say(what)
    return stage(*args, **options)


def told(items: Iterable[T], what: str) -> Iterator[T]:
    """Each item, said when it is there."""
    for number, item in enumerate(items, start=1):
        say(f"{what} {number}")
        yield item


def main() -> None:
    """Measure, print, write."""
    given = _options()
    require_wrk()
    leave_nothing_behind()
    started = time.perf_counter()
    facts = machine.facts()
    plan = QUICK if given.quick else FULL
    manifest = load_bundle(BUNDLE).manifest
    bench = stages.Bench(plan, load_slice(*EXAMPLE), manifest.input.patch_spec, given.workers)
    found = _measure(bench, facts, given, started)
    figures = report.summary(found)
    sys.stdout.write(figures + "\n")
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(_as_json(found), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    given.chart.write_bytes(draw(found))
    if given.page is not None:
        given.page.write_text(report.filled(given.page.read_text(encoding="utf-8"), figures), encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="shorter, each peer in one way at 16 clients")
    parser.add_argument("--without-peers", action="store_true")
    parser.add_argument("--workers", type=int, default=usable_cores(), help="of the service, and loops beside it")
    parser.add_argument("--data", type=Path, default=REPOSITORY.parent / "shared" / "data")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--chart", type=Path, required=True)
    parser.add_argument("--page", type=Path, help="whose figures are replaced")
    return parser.parse_args()


def _measure(bench: stages.Bench, facts: dict[str, str], given: argparse.Namespace, started: float) -> Results:
    proof = begun("generators against a server that does nothing", stages.prove_generators, bench)
    starts = begun("starts", stages.starts, bench)
    with bench.service() as server:
        rounds = tuple(told(stages.alternate(bench, server), "loop and service: round"))
        form_pairs = begun("raw bodies and forms", stages.forms, bench, server)
        stock = begun("plain uvicorn", stages.stock, bench, server)
        ours = dict(told(stages.all_bodies(bench, server), "bodies"))
        explaining = begun("evidence", stages.explaining, bench, server)
        pace = begun("the memory's pace", memory_pace.measure, bench.plan.memory_s)
        fixed = tuple(told(stages.fixed_rates(bench, server), "fixed rates: round"))
        beside = tuple(told(stages.beside(bench, server), "beside a series: round"))
        real_slice = _real_slice(bench, server, given.data)
        peers = () if given.without_peers else _peers(bench, server, rounds[0].loop.malignancy)
    say("the loop in TensorFlow")
    tensorflow_loop = bench.loop(TENSORFLOW, bench.plan.load_s)
    return Results(
        machine=facts,
        quick=given.quick,
        seconds=time.perf_counter() - started,
        slice_sent=f"{bench.ct_slice.name}, {len(bench.ct_slice.dicom)} bytes, roi {bench.ct_slice.roi}",
        digests={name: body.digest for name, body in bodies(bench.ct_slice).items()},
        workers=bench.workers,
        proof=proof,
        rounds=rounds,
        tensorflow_loop=tensorflow_loop,
        ours=ours,
        form_pairs=form_pairs,
        stock_pairs=stock,
        real_slice=real_slice,
        peers=peers,
        peer_versions=rivals.versions() if peers else {},
        starts=starts,
        open_loop=tuple(ours for ours, _ in fixed),
        bare=tuple(bare for _, bare in fixed),
        memory_pace=pace,
        beside_series=beside,
        explaining=explaining,
    )


def _real_slice(bench: stages.Bench, server: Server, data: Path) -> dict[str, float] | None:
    """Loop and service on a slice of the development data; None where that is absent."""
    path, roi_px = REAL
    if not (data / path).exists():
        return None
    real = load_slice(data / path, roi_px)
    return stages.real_slice(replace(bench, ct_slice=real), server)


def _peers(bench: stages.Bench, server: Server, malignancy: float) -> tuple[rivals.PeerResult, ...]:
    """Every peer, in turn with the service; each must first answer with the loop's malignancy."""
    job = rivals.Job(usable_cores(), bench.ct_slice, bench.patch)
    service = partial(stages.rate, bench, server)
    return tuple(told(rivals.measure_peers(job, malignancy, bench.plan, service), "peer"))


def _as_json(found: Results) -> dict[str, object]:
    targets = [asdict(target) | {"met": target.met} for target in report.targets(found)]
    return {"targets": targets, **asdict(found)}


if __name__ == "__main__":
    main()
