"""Servers as child processes on 127.0.0.1: started, accounted for as whole trees, ended by process id."""

from __future__ import annotations

import http.client
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Final, Self

from benchmarks.serving.service import free_port
from benchmarks.serving.slices import Body

REPOSITORY: Final = Path(__file__).resolve().parents[2]
LOGS: Final = REPOSITORY / "build" / "bench-logs"
POLL_S: Final = 0.05
SETTLED_WITHIN_S: Final = 2.0
IDLE_SHARE: Final = 0.2  # of one core: less is what servers do with nothing to do
GRACE_S: Final = 8.0  # to drain after SIGTERM; what is left is killed
TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
LOG_TAIL: Final = 600  # characters of a failed start that are reported
ABSOLUTE_PATH: Final = re.compile(r"""(?<![\w.~/-])(?!(?<=:)//\w)(?:/[^\s/"'`<>()\[\]{},;:|]*)+""")  # but no URL


class NotStarted(Exception):
    """A server that did not answer in time; the text is what it said."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Of a process tree: seconds of processor, and resident bytes of each process."""

    cpu_s: float
    resident_bytes: dict[int, int]


class Server:
    """A command that will listen on `port`; a context manager that ends the whole tree."""

    def __init__(
        self,
        command: Sequence[str],
        port: int,
        log: Path,
        environment: Mapping[str, str] | None = None,
        folder: Path = REPOSITORY,
    ) -> None:
        self.port = port
        self._log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        variables = [f"{name}={value}" for name, value in (environment or {}).items()]
        self._started = time.perf_counter()
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                ["env", *variables, *command], stdout=output, stderr=output, cwd=folder, start_new_session=True
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def wait_for(self, body: Body | str, patience_s: float) -> tuple[float, bytes]:
        """Seconds since the start until `body`, or a GET of that path, is answered 200, and the answer.

        Raises NotStarted.
        """
        status, answer = 0, b""
        while time.perf_counter() - self._started < patience_s:
            if self.process.poll() is not None:
                break
            try:
                status, answer = self.ask(body)
            except (OSError, http.client.HTTPException):
                status, answer = 0, b""
            if status == http.HTTPStatus.OK:
                return time.perf_counter() - self._started, answer
            time.sleep(POLL_S)
        waited = f"after {time.perf_counter() - self._started:.0f} s"
        if status:
            raise NotStarted(f"{waited} still {status}: {without_folders(answer.decode(errors='replace'))[:LOG_TAIL]}")
        # Cut afterwards: the rest of a path would look like a relative one.
        said = without_folders(self._log.read_text(errors="replace"))
        raise NotStarted(f"no answer {waited}; its log ends: {said[-LOG_TAIL:]}")

    def ask(self, body: Body | str) -> tuple[int, bytes]:
        """Status and content of one request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=GRACE_S)
        try:
            if isinstance(body, str):
                connection.request("GET", body)
            else:
                headers = dict(header.split(": ", 1) for header in body.headers)
                connection.request("POST", body.path, body.data, {"Content-Type": body.content_type, **headers})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def usage(self) -> Usage:
        """Of all its processes now."""
        tree = list(tree_of(self.process.pid))
        ticks = [_ticks(pid) for pid in tree]
        return Usage(sum(ticks) / TICKS_PER_S, {pid: resident_bytes(pid) for pid in tree})

    def settle(self) -> None:
        """Wait until it has done what a generator that stopped has left to it; SETTLED_WITHIN_S at most."""
        deadline, spent_s = time.perf_counter() + SETTLED_WITHIN_S, self.usage().cpu_s
        while time.perf_counter() < deadline:
            time.sleep(POLL_S)
            before_s, spent_s = spent_s, self.usage().cpu_s
            if spent_s - before_s < IDLE_SHARE * POLL_S:
                return

    def end(self) -> None:
        """SIGTERM to the first process, then SIGKILL to whatever of the tree is left."""
        tree = list(tree_of(self.process.pid))
        self.process.terminate()
        deadline = time.perf_counter() + GRACE_S
        while time.perf_counter() < deadline and (self.process.poll() is None or any(map(_lives, tree))):
            time.sleep(POLL_S)
        for pid in filter(_lives, tree):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait()


def leave_nothing_behind() -> None:
    """Let SIGTERM unwind as an exit does, so that servers are ended."""
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))


def without_folders(text: str) -> str:
    """Each absolute path as its last part: what is kept of a run says nothing about the folders of its machine."""
    return ABSOLUTE_PATH.sub(lambda found: PurePosixPath(found[0]).name or found[0], text)


def serve_ours(
    log: Path, *arguments: str, environment: Mapping[str, str] | None = None, checkout: Path = REPOSITORY
) -> Server:
    """`lungscope serve` from this environment, with the code of a checkout."""
    port = free_port()
    command = [sys.executable, "-c", "import sys; from app.cli import main; sys.exit(main())"]
    return Server([*command, "serve", "--port", str(port), *arguments], port, log, environment, checkout)


def tree_of(pid: int) -> Iterator[int]:
    """A process and all below it."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal() and (fields := _stat(int(folder.name))):
            children.setdefault(int(fields[1]), []).append(int(folder.name))
    waiting = [pid]
    while waiting:
        current = waiting.pop()
        yield current
        waiting += children.get(current, [])


def resident_bytes(pid: int) -> int:
    """Resident memory of a process; 0 when it has gone."""
    fields = _stat(pid)
    return int(fields[21]) * PAGE_BYTES if fields else 0


def _ticks(pid: int) -> int:
    """User and system time, that of ended children included."""
    fields = _stat(pid)
    return sum(map(int, fields[11:15])) if fields else 0


def _lives(pid: int) -> bool:
    fields = _stat(pid)
    return bool(fields) and fields[0] != "Z"


def _stat(pid: int) -> list[str]:
    """/proc/<pid>/stat from the state on (proc_pid_stat(5)); empty when the process has gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
