"""What is measured of the service, stage by stage."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Final

from app.imaging.patches import PatchSpec
from benchmarks.serving.arrivals import Tally, Task, run_task
from benchmarks.serving.beside import beside_series
from benchmarks.serving.ceiling import KEEP_MEMORY, OWN, PLAIN, Lap, Loop, loops
from benchmarks.serving.closed import Load, drive
from benchmarks.serving.explaining import measure_parts
from benchmarks.serving.plan import CLIENTS, COMPARED_AT, Plan
from benchmarks.serving.processes import LOGS, Server, serve_ours
from benchmarks.serving.results import Bare, BesideSeries, Explaining, OpenLoop, Proof, Round, Starts
from benchmarks.serving.service import free_port
from benchmarks.serving.slices import Body, Slice, bodies

READY: Final = "/health/ready"
PATIENCE_S: Final = 120
STEADY: Final = 0.7  # of the peak
OVERLOAD: Final = 2.0
CROWD: Final = 10  # times the clients of the comparison
PEAK_S: Final = 2.0  # long enough to find the peak, short enough that it still holds
MEGABYTE: Final = 1e6
RAW: Final = "dicom, raw"
FORM: Final = "dicom, form"
MIN_WORKER_BYTES: Final = 60_000_000  # a supervisor without a model is smaller


@dataclass(frozen=True, slots=True)
class Bench:
    """What every stage works on."""

    plan: Plan
    ct_slice: Slice
    patch: PatchSpec
    workers: int

    @contextmanager
    def service(self) -> Iterator[Server]:
        """The service, ready and warm."""
        with start_service(self.workers) as server:
            server.wait_for(READY, PATIENCE_S)
            drive(server, bodies(self.ct_slice)[RAW], COMPARED_AT, self.plan.load_s)
            yield server

    @contextmanager
    def loops(self, backend: str, seconds: float) -> Iterator[Callable[[], Lap]]:
        """The in-process loop, a process per worker: runs a lap of some seconds whenever it is called."""
        with kept(self.ct_slice.dicom) as path, loops(self.loop_on(backend, path, seconds), self.workers) as lap:
            yield lap

    def loop(self, backend: str, seconds: float) -> Lap:
        """One lap."""
        with self.loops(backend, seconds) as lap:
            return lap()

    def loop_on(self, backend: str, path: str, seconds: float) -> Loop:
        """What one process of it does."""
        return Loop(backend, path, self.ct_slice.roi_px, (self.patch.size_px, self.patch.spacing_mm), seconds)


def start_service(workers: int, environment: Mapping[str, str] | None = None) -> Server:
    """`lungscope serve` with a number of workers, quiet."""
    variables = {"LUNGSCOPE_LOG_LEVEL": "warning", **(environment or {})}
    return serve_ours(LOGS / "lungscope.log", "--workers", str(workers), environment=variables)


def prove_generators(bench: Bench) -> Proof:
    """Both generators against a server that does nothing, with the real request."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.serving.trivial", str(port)]
    body = bodies(bench.ct_slice)[RAW]
    with Server(command, port, LOGS / "trivial.log") as server:
        server.wait_for(body, PATIENCE_S)
        wrk = drive(server, body, COMPARED_AT, bench.plan.load_s)
        own = run(Task(port, "", bench.plan.load_s, clients=COMPARED_AT), body)
    return Proof(wrk, own)


def alternate(bench: Bench, server: Server) -> Iterator[Round]:
    """In-process loops and service in turn, each second or two another, for the machine's pace changes within seconds;
    who has no turn waits idle."""
    body, seconds = bodies(bench.ct_slice)[RAW], bench.plan.round_s
    with bench.loops(OWN, seconds) as own, bench.loops(PLAIN, seconds) as plain:
        for _ in range(bench.plan.rounds):
            yield Round(own_loop=own(), loop=plain(), service=drive(server, body, COMPARED_AT, seconds))
            server.settle()


def rate(bench: Bench, server: Server) -> float:
    """Requests a second of a short turn at the clients of the comparison, after which it is idle."""
    load = drive(server, bodies(bench.ct_slice)[RAW], COMPARED_AT, bench.plan.round_s)
    server.settle()
    return load.rate


def forms(bench: Bench, server: Server) -> tuple[tuple[float, float], ...]:
    """Requests a second as raw body and as form, in turn."""
    raw, form = (bodies(bench.ct_slice)[kind] for kind in (RAW, FORM))
    return tuple(
        (
            drive(server, raw, COMPARED_AT, bench.plan.round_s).rate,
            drive(server, form, COMPARED_AT, bench.plan.round_s).rate,
        )
        for _ in range(bench.plan.form_rounds)
    )


def stock(bench: Bench, server: Server) -> tuple[tuple[Load, Load], ...]:
    """The service and the same under plain uvicorn, in turn; who has no turn waits idle."""
    body, seconds = bodies(bench.ct_slice)[RAW], bench.plan.round_s
    with start_service(bench.workers, {"LUNGSCOPE_SERVER": "stock"}) as other:
        other.wait_for(READY, PATIENCE_S)
        drive(other, body, COMPARED_AT, bench.plan.load_s)
        return tuple(
            (drive(server, body, COMPARED_AT, seconds), drive(other, body, COMPARED_AT, seconds))
            for _ in range(bench.plan.form_rounds)
        )


def all_bodies(bench: Bench, server: Server) -> Iterator[tuple[str, tuple[Load, ...]]]:
    """Every kind of body at every number of clients."""
    for name, body in bodies(bench.ct_slice).items():
        yield name, tuple(drive(server, body, clients, bench.plan.load_s) for clients in CLIENTS)


def starts(bench: Bench) -> Starts:
    """Seconds to ready, and memory after some requests to every worker."""
    ready: list[float] = []
    resident: list[float] = []
    for _ in range(bench.plan.starts):
        with start_service(bench.workers) as server:
            ready.append(server.wait_for(READY, PATIENCE_S)[0])
            drive(server, bodies(bench.ct_slice)[RAW], COMPARED_AT, bench.plan.load_s)
            resident = workers_mb(server)
    return Starts(tuple(ready), tuple(resident))


def workers_mb(server: Server) -> list[float]:
    """Megabytes of each process that holds a model, largest first."""
    resident = server.usage().resident_bytes.values()
    return sorted((size / MEGABYTE for size in resident if size > MIN_WORKER_BYTES), reverse=True)


def fixed_rates(bench: Bench, server: Server) -> Iterator[tuple[OpenLoop, Bare]]:
    """The service and the bare server in turn: the machine's own tail changes from minute to minute."""
    yield from zip(_open_loop(bench, server), _bare(bench), strict=True)


def _open_loop(bench: Bench, server: Server) -> Iterator[OpenLoop]:
    """Arrivals below and beyond the peak, and a crowd that waits as it is told, with the peak found anew between them:
    the machine's pace changes."""
    crowd = replace(_task(bench, server), clients=CROWD * COMPARED_AT)
    body = bodies(bench.ct_slice)[RAW]
    for _ in range(bench.plan.arrival_rounds):
        unloaded, first = drive(server, body, 1, PEAK_S), _peak(bench, server)
        steady, second = _arrivals(bench, server, STEADY * first), _peak(bench, server)
        overload, third = _arrivals(bench, server, OVERLOAD * second), _peak(bench, server)
        patient, fourth = run(crowd, body), _peak(bench, server)
        yield OpenLoop(
            unloaded=unloaded,
            steady_rate=STEADY * first,
            steady=steady,
            overload_peak=(second + third) / 2,
            overload_rate=OVERLOAD * second,
            overload=overload,
            crowd_peak=(third + fourth) / 2,
            crowd_clients=crowd.clients,
            crowd=patient,
        )


def _peak(bench: Bench, server: Server) -> float:
    """Good answers a second to the clients of the comparison, for a short while, once what was before is done."""
    server.settle()
    return drive(server, bodies(bench.ct_slice)[RAW], COMPARED_AT, PEAK_S).rate


def _bare(bench: Bench) -> Iterator[Bare]:
    """The same below the peak at the bare server."""
    port, body = free_port(), bodies(bench.ct_slice)[RAW]
    loop = json.dumps(asdict(bench.loop_on(PLAIN, "", 0)))
    command = [sys.executable, "-m", "benchmarks.serving.bare", str(port), str(bench.workers), loop]
    with Server(command, port, LOGS / "bare.log", KEEP_MEMORY) as server:
        server.wait_for(body, PATIENCE_S)
        for _ in range(bench.plan.arrival_rounds):
            unloaded, peak = drive(server, body, 1, PEAK_S), _peak(bench, server)
            yield Bare(peak, unloaded, STEADY * peak, _arrivals(bench, server, STEADY * peak))


def _arrivals(bench: Bench, server: Server, rate: float) -> Tally:
    return run(replace(_task(bench, server), rate=rate), bodies(bench.ct_slice)[RAW])


def _task(bench: Bench, server: Server) -> Task:
    seconds = bench.plan.arrivals_s
    return Task(server.port, "", seconds, seconds / 5)


def beside(bench: Bench, server: Server) -> Iterator[BesideSeries]:
    """One caller alone and beside series, in turn."""
    plan = bench.plan
    return beside_series(server, bodies(bench.ct_slice)[RAW], bench.ct_slice, plan.beside_s, plan.beside_rounds)


def explaining(bench: Bench, server: Server) -> Explaining:
    """The same requests without and with `explain=true` in turn, and the parts in process."""
    plain, explained = (bodies(bench.ct_slice, explain)[RAW] for explain in (False, True))
    pairs = [
        tuple(drive(server, body, COMPARED_AT, bench.plan.load_s).rate for body in (plain, explained))
        for _ in range(bench.plan.explain_rounds)
    ]
    whole, described, evidence = measure_parts(bench.ct_slice)
    return Explaining(tuple((a, b) for a, b in pairs), whole, described, evidence)


def real_slice(bench: Bench, server: Server) -> dict[str, float]:
    """Loop and service on another slice: rates and their ratio."""
    loop = bench.loop(PLAIN, bench.plan.load_s)
    load = drive(server, bodies(bench.ct_slice)[RAW], COMPARED_AT, bench.plan.load_s)
    return {"loop_per_s": loop.rate, "service_per_s": load.rate, "throughput": load.rate / loop.rate} | {
        "cpu": load.cpu_ms / loop.cpu_ms
    }


def run(task: Task, body: Body) -> Tally:
    """Run a generator's task with `body` as its request."""
    lines = [
        f"POST {body.path} HTTP/1.1",
        f"Host: 127.0.0.1:{task.port}",
        f"Content-Type: {body.content_type}",
        f"Content-Length: {len(body.data)}",
        *body.headers,
    ]
    with kept(("\r\n".join(lines) + "\r\n\r\n").encode() + body.data) as path:
        return run_task(Task(task.port, path, task.seconds, task.warm_up_s, task.rate, task.clients))


@contextmanager
def kept(data: bytes) -> Iterator[str]:
    """The path of a file with some data, as long as it is needed."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        yield file.name
