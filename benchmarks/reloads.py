"""Whether versions can be moved under load: `python -m benchmarks.reloads --out docs/results/reloads.json` has clients
ask a service of one worker all the time, has another version of the classifier judge, and rolls back, many times.

Counts failed requests, compares how long the slowest wait with and without, and the memory before and after. The other
version is a copy of the shipped one, so all that differs is that it is loaded.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import urllib3

from app.inference.bundle import MANIFEST_FILE, versions_of
from benchmarks.record_cost import PATH, running, uncompressed
from benchmarks.serving.service import MODELS, Service

CLASSIFIER: Final = "nodule-classifier"
TOKEN: Final = "a-token-of-this-benchmark"
KEY: Final = {"Authorization": f"Bearer {TOKEN}"}
CLIENTS: Final = 16
RESIDENT: Final = "VmRSS:"


@dataclass(slots=True)
class Asked:
    """What clients saw: seconds of each answer, and how many were none, or no 200."""

    seconds: list[float] = field(default_factory=list)
    failed: int = 0

    def p99_ms(self) -> float:
        """Milliseconds in which 99 of 100 were answered."""
        return round(float(np.quantile(self.seconds, 0.99)) * 1000, 1)


def with_copy(folder: Path) -> tuple[Path, int, int]:
    """The shipped bundles with a copy of the classifier under a number of its own; the folder and both numbers."""
    models = folder / "models"
    shutil.copytree(MODELS, models)
    first = versions_of(models / CLASSIFIER)[-1]
    copy = models / CLASSIFIER / str(first + 1)
    shutil.copytree(models / CLASSIFIER / str(first), copy)
    manifest = json.loads((copy / MANIFEST_FILE).read_text("utf-8"))
    (copy / MANIFEST_FILE).write_text(json.dumps({**manifest, "version": first + 1}), "utf-8")
    return models, first, first + 1


@contextmanager
def clients(service: Service, body: bytes, pause_s: float) -> Iterator[Asked]:
    """CLIENTS that ask during the block, each with a pause after each answer."""
    asked, stopped = Asked(), threading.Event()

    def ask() -> None:
        with urllib3.PoolManager(retries=False) as pool:
            while not stopped.is_set():
                began = time.perf_counter()
                try:
                    status = pool.request("POST", service.url(PATH), body=body, headers=KEY).status
                except urllib3.exceptions.HTTPError:
                    status = 0
                asked.seconds.append(time.perf_counter() - began)
                asked.failed += status != 200
                stopped.wait(pause_s)

    threads = [threading.Thread(target=ask) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield asked
    finally:
        stopped.set()
        for thread in threads:
            thread.join()


def resident_mb(service: Service) -> float:
    """Memory of the one worker."""
    status = Path(f"/proc/{service.process.pid}/status").read_text("ascii").split()
    return round(int(status[status.index(RESIDENT) + 1]) / 1024, 1)


def operate(service: Service, method: str, path: str) -> None:
    """An operation of the operator, which must succeed."""
    answer = urllib3.request(method, service.url(f"/v1/models/{CLASSIFIER}/{path}"), headers=KEY, timeout=300)
    if answer.status != 200:
        raise SystemExit(f"{path}: {answer.status} {answer.data.decode()}")


def reload(service: Service, version: int) -> None:
    """Another version judges, is rolled back, and goes."""
    operate(service, "POST", f"versions/{version}/load")
    operate(service, "PUT", f"labels/shadow?version={version}")
    operate(service, "PUT", f"labels/stable?version={version}")
    operate(service, "POST", "rollback")
    operate(service, "POST", f"versions/{version}/unload")


def measured(reloads: int, quiet_s: float, pause_s: float) -> dict[str, object]:
    """All of it."""
    body = uncompressed()
    with tempfile.TemporaryDirectory() as folder:
        models, first, other = with_copy(Path(folder))
        environment = {
            "LUNGSCOPE_MODELS_DIR": str(models),
            "LUNGSCOPE_MODEL": f"{CLASSIFIER}/{first}",
            "LUNGSCOPE_VERSIONS_DIR": f"{folder}/versions",
            "LUNGSCOPE_API_TOKEN": TOKEN,
            "LUNGSCOPE_CALLER_SHARE": "1",
            "LUNGSCOPE_SHADOW_SHARE": "1",
        }
        with running(environment) as service:
            with clients(service, body, pause_s) as quiet:
                time.sleep(quiet_s)
            before = resident_mb(service)
            memory = []
            with clients(service, body, pause_s) as moved:
                for _ in range(reloads):
                    reload(service, other)
                    memory.append(resident_mb(service))
    return {
        "command": f"python -m benchmarks.reloads --reloads {reloads} --quiet {quiet_s:g} --pause {pause_s:g}",
        "clients": CLIENTS,
        "reloads": reloads,
        "requests": {"quiet": len(quiet.seconds), "moving": len(moved.seconds)},
        "failed": {"quiet": quiet.failed, "moving": moved.failed},
        "p99_ms": {"quiet": quiet.p99_ms(), "moving": moved.p99_ms()},
        "p99_ratio": round(moved.p99_ms() / quiet.p99_ms(), 2),
        "resident_mb": {"before": before, "after_each": memory},
        "memory_ratio": {"to_before": round(memory[-1] / before, 3), "to_first": round(memory[-1] / memory[0], 3)},
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reloads", type=int, default=20)
    parser.add_argument("--quiet", type=float, default=30, help="seconds without reloads")
    parser.add_argument("--pause", type=float, default=0.5, help="seconds after each answer")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    found = json.dumps(measured(options.reloads, options.quiet, options.pause), indent=1)
    sys.stdout.write(found + "\n")
    if options.out is not None:
        options.out.write_text(found + "\n", "utf-8")


if __name__ == "__main__":
    main()
