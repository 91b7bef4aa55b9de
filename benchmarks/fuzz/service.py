"""A running service: sent to, watched by its log, its counts and its processes."""

from __future__ import annotations

import http.client
import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from benchmarks.fuzz.mutants import Mutant
from benchmarks.fuzz.verdict import Reply
from benchmarks.serving.processes import LOGS, Server, serve_ours, without_folders

READY: Final = "/health/ready"
PATIENCE_S: Final = 120.0
ANSWER_PATIENCE_S: Final = 60.0
BUSY: Final = 503
MAX_TRIES: Final = 100
POLL_S: Final = 0.1
WAITING: Final = "lungscope_spooled_series_waiting"
SPOOLED: Final = re.compile(r'^lungscope_spooled_series_total\{outcome="(\w+)"\} (\S+)', re.MULTILINE)
DECODERS_LOST: Final = re.compile(r'^lungscope_decoders_lost_total\{cause="(\w+)"\} (\S+)', re.MULTILINE)
# What was left out or came late is none of a judge's faults.
SETTLED: Final = ("judged", "unfit", "left_out", "late")
RESULTS: Final = ("/dicom-web/studies", "/dicom-web/series", "/dicom-web/instances")
RESTARTS: Final = "lungscope_worker_restarts_total"
OWN_CODE: Final = re.compile(r"/(app/\S+?\.py):(\d+) (\S+)$")

ATTEMPT: Final = re.compile(r", attempt \d+ of \d+")
CRASHED: Final = re.compile(
    r"Traceback|Fatal|terminate called|.*(free\(\)|malloc|corrupt(ed|ion)|Segmentation|core dumped)"
)


@dataclass(frozen=True, slots=True)
class Failure:
    """An exception that was logged: its type, the last place of our own code, and the request, where there was one."""

    exception: str
    place: str
    message: str
    request_id: str | None

    @property
    def cause(self) -> str:
        """What tells it from others."""
        return f"{self.exception} at {self.place} ({ATTEMPT.sub('', self.message)})"


class Service:
    """`lungscope serve`, and what it has logged so far."""

    def __init__(self, server: Server, log: Path) -> None:
        self._server = server
        self._log = log
        self._read = 0
        self.busy = 0

    @property
    def port(self) -> int:
        """Where it answers on 127.0.0.1."""
        return self._server.port

    def send(self, mutant: Mutant) -> Reply:
        """The answer; a busy service, which has looked at nothing of the mutant, is asked again."""
        for _ in range(MAX_TRIES):
            reply = self._once(mutant)
            if reply.status != BUSY:
                return reply
            self.busy += 1
            time.sleep(POLL_S)
        return reply

    def _once(self, mutant: Mutant) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self._server.port, timeout=ANSWER_PATIENCE_S)
        started = time.perf_counter()
        try:
            connection.putrequest("POST", mutant.path, skip_accept_encoding=True)
            for name, text in (*mutant.headers.items(), ("X-Request-ID", mutant.request_id)):
                connection.putheader(name, text.encode("latin-1"))
            connection.putheader("Content-Length", str(len(mutant.body)))
            # One that is refused on the headers has its answer all the same.
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.endheaders(mutant.body)
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            return Reply(0, "", type(error).__name__.encode(), time.perf_counter() - started)
        finally:
            connection.close()
        kind = response.headers.get("Content-Type", "")
        return Reply(response.status, kind, content, time.perf_counter() - started)

    def get(self, path: str) -> bytes:
        """The content of a GET."""
        return self._server.ask(path)[1]

    def document(self) -> dict[str, Any]:
        """The OpenAPI document."""
        content: dict[str, Any] = json.loads(self.get("/openapi.json"))
        return content

    def resident(self) -> dict[int, int]:
        """Bytes of each process."""
        return self._server.usage().resident_bytes

    def spooled(self) -> dict[str, int]:
        """Spooled series by what became of them, once none is waiting."""
        deadline = time.monotonic() + PATIENCE_S
        while (counts := _spooled(self.get("/metrics").decode())) is None:
            if time.monotonic() > deadline:
                return {"still waiting": 1}
            time.sleep(POLL_S)
        return counts

    def lost(self) -> int:
        """Spooled series that were neither judged nor found unfit, once none is waiting."""
        return sum(count for outcome, count in self.spooled().items() if outcome not in SETTLED)

    def unlisted(self) -> list[str]:
        """What of the results made so far cannot be listed."""
        return [path for path in RESULTS if self._server.ask(path)[0] != http.HTTPStatus.OK]

    def restarts(self) -> int:
        """Workers that died and were replaced."""
        found = re.search(rf"^{RESTARTS} (\S+)", self.get("/metrics").decode(), re.MULTILINE)
        return int(float(found[1])) if found else 0

    def decoders_lost(self) -> dict[str, int]:
        """Processes that decode which ended before their time, by cause."""
        return {cause: int(float(count)) for cause, count in DECODERS_LOST.findall(self.get("/metrics").decode())}

    def failures(self) -> list[Failure]:
        """What was logged with an exception, or as no log line at all, since the last call."""
        text = self._log.read_bytes()[self._read :]
        whole = text[: text.rfind(b"\n") + 1]
        self._read += len(whole)
        return [failure for line in whole.decode(errors="replace").splitlines() if (failure := _failure(line))]


def _spooled(metrics: str) -> dict[str, int] | None:
    waiting = re.search(rf"^{WAITING} (\S+)", metrics, re.MULTILINE)
    if waiting is None or float(waiting[1]) > 0:
        return None
    return {outcome: int(float(count)) for outcome, count in SPOOLED.findall(metrics)}


def _failure(line: str) -> Failure | None:
    try:
        entry = json.loads(line)
    except ValueError:
        # Decoders write to standard error what they think of an image.
        return Failure("crash", "?", without_folders(line)[:200], None) if CRASHED.match(line) else None
    if "exception" not in entry:
        return None
    places = [found for place in entry["raised_at"] if (found := OWN_CODE.search(place))]
    place = "{}:{} {}".format(*places[-1].groups()) if places else "?"
    raised = without_folders(entry["raised_at"][-1])
    if not OWN_CODE.search(entry["raised_at"][-1]):
        place += f", raised at {raised}"
    return Failure(entry["exception"], place, entry["message"], entry.get("request_id"))


@contextmanager
def running(workers: int) -> Iterator[Service]:
    """A service with its spool in a temporary folder; ended, with all its processes, after the block."""
    log = LOGS / "fuzz.log"
    with TemporaryDirectory(prefix="lungscope-fuzz-") as folder:
        server = serve_ours(
            log,
            *("--workers", str(workers)),
            environment={
                "LUNGSCOPE_SPOOL_DIR": folder,
                "LUNGSCOPE_SETTLE_SECONDS": "0",
                "LUNGSCOPE_QUIET_SECONDS": "0",
                "LUNGSCOPE_LOG_LEVEL": "warning",
                "TMPDIR": folder,
            },
        )
        with server:
            server.wait_for(READY, PATIENCE_S)
            yield Service(server, log)
