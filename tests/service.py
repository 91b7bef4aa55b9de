"""`lungscope serve` as a real process, on the shipped bundle."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

MODELS = Path(__file__).resolve().parents[1] / "models"
PATIENCE_S = 120


class Service:
    """`lungscope serve` as a child process."""

    def __init__(self, models: Path = MODELS) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        command = [sys.executable, "-c", "import sys; from app.cli import main; sys.exit(main())"]
        self.process = subprocess.Popen(
            [*command, "serve", "--port", str(self.port)],
            env={**os.environ, "LUNGSCOPE_MODELS_DIR": str(models)},
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_until_ready(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if "model ready" in line:
                return
        raise AssertionError(f"ended with {self.process.wait(PATIENCE_S)} before it was ready")

    def listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def end(self) -> int:
        """The exit code, once the process has ended; its log is read and closed."""
        self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode
