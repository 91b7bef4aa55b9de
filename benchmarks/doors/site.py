"""The service on arithmetic models, and for C-STORE the door beside it, as processes to be killed and started again."""

from __future__ import annotations

import http.client
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Literal

from benchmarks.arithmetic import write_models
from benchmarks.doors.instance import COMMAND
from benchmarks.serving.processes import Server, tree_of, without_folders
from benchmarks.serving.service import free_port

Process = Literal["serve", "dimse"]
READY: Final = "/health/ready"
WORKERS: Final = 2
CALLER: Final = "CT01"
SECRET: Final = "whsec_" + "A" * 43 + "="
# Short, as nobody waits for a person here; a destination that was away is asked again within a second.
ENVIRONMENT: Final = {
    "LUNGSCOPE_SETTLE_SECONDS": "0.2",
    "LUNGSCOPE_QUIET_SECONDS": "1",
    "LUNGSCOPE_RETRY_SECONDS": "0.2",
    "LUNGSCOPE_MAX_PICTURES": "1",
    "LUNGSCOPE_DRAIN_SECONDS": "2",
    "LUNGSCOPE_DIMSE_CALLERS": CALLER,
    "TF_CPP_MIN_LOG_LEVEL": "3",
}
RULES: Final = """
[[destination]]
name = "archive"
kind = "stow"
url = "{archive}"

[[destination]]
name = "hooks"
kind = "webhook"
url = "{hooks}"
secret_file = "{secret}"
"""
ANSWER_PATIENCE_S: Final = 60.0
POLL_S: Final = 0.2


class Site:
    """The processes over one folder, at ports that they keep."""

    def __init__(self, folder: Path, archive: str, hooks: str, source: str, processes: Sequence[Process]) -> None:
        """`archive` and `hooks` are the addresses of the destinations, `source` that from which series are fetched."""
        self.processes = processes
        self.ports = {name: free_port() for name in processes}
        self.starts = 0
        self._logs = folder / "logs"
        self._running: dict[Process, Server] = {}
        (folder / "tmp").mkdir()
        write_models(folder / "models")
        secret, rules = folder / "secret", folder / "rules.toml"
        secret.write_text(SECRET, encoding="utf-8")
        rules.write_text(RULES.format(archive=archive, hooks=hooks, secret=secret), encoding="utf-8")
        self._environment = {
            **ENVIRONMENT,
            "LUNGSCOPE_MODELS_DIR": str(folder / "models"),
            "LUNGSCOPE_SPOOL_DIR": str(folder / "state"),
            "LUNGSCOPE_RULES": str(rules),
            "LUNGSCOPE_PULL_URL": source,
            "TMPDIR": str(folder / "tmp"),
        }

    def start(self, names: Sequence[Process]) -> None:
        """Start these without waiting for them."""
        for name in names:
            self.starts += 1
            options = ("--workers", str(WORKERS)) if name == "serve" else ()
            command = [*COMMAND, name, "--port", str(self.ports[name]), *options]
            log = self._logs / f"{self.starts:04d}-{name}.log"
            self._running[name] = Server(command, self.ports[name], log, self._environment)

    def kill(self, names: Sequence[Process]) -> None:
        """SIGKILL to these and to every process below them."""
        for name in names:
            server = self._running[name]
            for pid in list(tree_of(server.process.pid)):
                with suppress(ProcessLookupError):  # it ended with what it was forked from
                    os.kill(pid, signal.SIGKILL)
            server.process.wait()

    def end(self) -> None:
        """End what runs."""
        for each in self._running.values():
            each.end()

    def wait_until_ready(self, patience_s: float) -> bool:
        """Whether the service was ready within so many seconds; False at once where it has ended."""
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline and self._running["serve"].process.poll() is None:
            if self.ask("GET", READY)[0] == http.HTTPStatus.OK:
                return True
            time.sleep(POLL_S)
        return False

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        """Status, headers and content of an answer of the service; the status is 0 where there is none."""
        connection = http.client.HTTPConnection("127.0.0.1", self.ports["serve"], timeout=ANSWER_PATIENCE_S)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        except (OSError, http.client.HTTPException):
            return 0, http.client.HTTPMessage(), b""
        finally:
            connection.close()

    def errors(self) -> dict[str, int]:
        """What was logged as an error or with an exception so far, and how often."""
        entries = (_entry(line) for path in sorted(self._logs.iterdir()) for line in path.read_text().splitlines())
        return dict(Counter(found for entry in entries if (found := _error(entry))))


def _entry(line: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(line)
    except ValueError:
        return {"level": "error", "message": line}
    return found


def _error(entry: dict[str, Any]) -> str:
    if "exception" not in entry and entry.get("level", "").lower() not in ("error", "critical"):
        return ""
    return without_folders(f"{entry.get('exception', 'error')}: {entry.get('message', '')}")
