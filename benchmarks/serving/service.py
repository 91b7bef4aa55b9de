"""`lungscope serve` as a real process, on the shipped bundle."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import TypeVar

MODELS = Path(__file__).resolve().parents[2] / "models"
PATIENCE_S = 120


POLL_S = 0.1
T = TypeVar("T")


def free_port() -> int:
    """One that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def eventually(ask: Callable[[], T]) -> T:
    """What `ask` gives once that is true: other processes say when they are done only when asked."""
    for _ in range(int(PATIENCE_S / POLL_S)):
        if answer := ask():
            return answer
        time.sleep(POLL_S)
    raise AssertionError(f"not after {PATIENCE_S} s")


class Service:
    """`lungscope serve` as a child process, with further variables in its environment."""

    def __init__(
        self,
        models: Path = MODELS,
        workers: int = 1,
        *,
        port: int | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.port = port or free_port()
        command = [sys.executable, "-c", "import sys; from app.cli import main; sys.exit(main())"]
        command += ["serve", "--port", str(self.port), "--workers", str(workers)]
        variables = {"LUNGSCOPE_MODELS_DIR": str(models), **(environment or {})}
        self.process = subprocess.Popen(
            ["env", *(f"{name}={value}" for name, value in variables.items()), *command],
            stderr=subprocess.PIPE,
            text=True,
        )
        self._lines: SimpleQueue[str | None] = SimpleQueue()
        # Nobody reads the log of a service that is asked for long: a full pipe would stop its event loop.
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as log:
            for line in log:
                self._lines.put(line)
        self._lines.put(None)

    def log(self) -> Iterator[str]:
        """The lines of its log from where the last reader stopped, until nobody writes it any more."""
        while (line := self._lines.get()) is not None:
            yield line
        self._lines.put(None)  # for the next reader

    def rest_of_log(self) -> str:
        """What has not been read of its log, once the process has ended."""
        self.process.wait(PATIENCE_S)
        return "".join(self.log())

    def wait_until_ready(self) -> None:
        if not any("model ready" in line for line in self.log()):
            raise AssertionError(f"ended with {self.process.wait(PATIENCE_S)} before it was ready")

    def listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def end(self) -> int:
        """The exit code, once the process has ended and nobody writes its log any more."""
        code = self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        assert not self._reader.is_alive(), "somebody still writes the log"
        return code
