"""What trail and receipt cost a slice with a roi: `python -m benchmarks.record_cost` asks a service that keeps them and
one that does not in turn, and compares the processor time of each.

The slice is that of the docs page, its pixels uncompressed, as a scanner sends it: 525 kB of Explicit VR Little Endian.
"""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import BytesIO
from pathlib import Path
from typing import Final

from pydicom import dcmread

from benchmarks.licences import REPOSITORY
from benchmarks.serving.service import Service, eventually

SLICE: Final = REPOSITORY / "app" / "web" / "example-slice.dcm"
PATH: Final = "/v1/predict?roi=148,240"
WARM_UP: Final = 20


def uncompressed() -> bytes:
    """The slice as a scanner sends it."""
    dataset, written = dcmread(SLICE), BytesIO()
    dataset.decompress()
    dataset.save_as(written)
    return written.getvalue()


def cpu_ms(process: int) -> float:
    """Processor time of all threads of a process so far, which the scheduler counts in nanoseconds."""
    tasks = Path(f"/proc/{process}/task").glob("*/schedstat")
    return sum(int(task.read_text("ascii").split()[0]) for task in tasks) / 1e6


@contextmanager
def running(environment: dict[str, str]) -> Iterator[Service]:
    """A service of one worker; `env` is replaced by it, so that its process is the one that was started."""
    service = Service(environment={"LUNGSCOPE_LOG_LEVEL": "warning", "LUNGSCOPE_THREADS": "1", **environment})
    try:
        eventually(lambda: service.listens() and _is_ready(service.port))
        yield service
    finally:
        service.process.terminate()
        service.end()


def _is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/health/ready")
    return connection.getresponse().status == http.client.OK


def ask(service: Service, body: bytes, count: int) -> float:
    """Processor time in ms of one request, over `count` of them on one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=600)
    before = cpu_ms(service.process.pid)
    for _ in range(count):
        connection.request("POST", PATH, body, {"Content-Type": "application/dicom"})
        answered = connection.getresponse()
        content = answered.read()
        assert answered.status == http.client.OK, content
    connection.close()
    return (cpu_ms(service.process.pid) - before) / count


def main() -> None:
    """Measure, print, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--requests", type=int, default=200, help="of each round, to each service")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    body = uncompressed()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        key = folder / "key.pem"
        subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", str(key)], check=True)
        signing = {"LUNGSCOPE_SIGNING_KEY": str(key)}
        kinds: dict[str, dict[str, str]] = {
            "neither": {},
            "trail": {"LUNGSCOPE_AUDIT_DIR": str(folder / "trail")},
            "trail and receipt": {"LUNGSCOPE_AUDIT_DIR": str(folder / "both"), **signing},
        }
        services = {name: stack.enter_context(running(environment)) for name, environment in kinds.items()}
        for service in services.values():
            ask(service, body, WARM_UP)
        rounds = [
            {name: ask(each, body, options.requests) for name, each in services.items()} for _ in range(options.rounds)
        ]
    figures = {
        "bytes": len(body),
        "rounds": options.rounds,
        "requests": options.requests,
        "cpu_ms": {name: round(statistics.median(each[name] for each in rounds), 3) for name in kinds},
        "ratio": {name: round(statistics.median(each[name] / each["neither"] for each in rounds), 4) for name in kinds},
    }
    text = json.dumps(figures, indent=1)
    sys.stdout.write(text + "\n")
    if options.out is not None:
        options.out.write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main()
