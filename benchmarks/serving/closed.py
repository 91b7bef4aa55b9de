"""Closed loop: wrk keeps a number of connections busy, each with its next request once the last is answered."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.serving.processes import Server
from benchmarks.serving.slices import Body

SCRIPT: Final = Path(__file__).with_name("post.lua")
TIMEOUT_S: Final = 30


@dataclass(frozen=True, slots=True)
class Load:
    """What came of some seconds at a number of clients. `cpu_ms` is the server's, `generator_cpu_ms` wrk's, both for
    each request; latencies are those of all answers."""

    clients: int
    requests: int
    seconds: float
    failed: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    cpu_ms: float
    generator_cpu_ms: float

    @property
    def rate(self) -> float:
        """Good answers a second."""
        return (self.requests - self.failed) / self.seconds


def require_wrk() -> None:
    """End with a hint unless wrk is installed."""
    if shutil.which("wrk") is None:
        raise SystemExit("The benchmark needs wrk: apt-get install wrk, or your system's package of that name.")


def drive(server: Server, body: Body, clients: int, seconds: float) -> Load:
    """Post `body` by `clients` connections for some seconds."""
    before, generator_before = server.usage().cpu_s, _children_cpu_s()
    found = _wrk(server.port, body, clients, seconds)
    spent, generator_spent = server.usage().cpu_s - before, _children_cpu_s() - generator_before
    return account(found, clients, spent, generator_spent)


def account(found: dict[str, float], clients: int, cpu_s: float, generator_cpu_s: float) -> Load:
    """wrk's figures with the processor time that both sides spent meanwhile."""
    requests = max(1, int(found["requests"]))
    return Load(
        clients=clients,
        requests=int(found["requests"]),
        seconds=found["seconds"],
        failed=int(found["not_ok"] + found["broken"]),
        p50_ms=found["p50_ms"],
        p90_ms=found["p90_ms"],
        p99_ms=found["p99_ms"],
        cpu_ms=1e3 * cpu_s / requests,
        generator_cpu_ms=1e3 * generator_cpu_s / requests,
    )


def _wrk(port: int, body: Body, clients: int, seconds: float) -> dict[str, float]:
    with tempfile.NamedTemporaryFile() as file:
        file.write(body.data)
        file.flush()
        command = ["wrk", "-t1", f"-c{clients}", f"-d{max(1, round(seconds))}s", f"--timeout={TIMEOUT_S}s"]
        command += ["-s", str(SCRIPT), f"http://127.0.0.1:{port}{body.path}"]
        command += ["--", file.name, body.content_type, *body.headers]
        finished = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 2 * TIMEOUT_S)
    found: dict[str, float] = json.loads(finished.stderr.splitlines()[-1])
    return found


def _children_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
