"""`lungscope dimse` as a real process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

from benchmarks.serving.service import PATIENCE_S, eventually, free_port

COMMAND: Final = [sys.executable, "-c", "import sys; from app.cli import main; sys.exit(main())", "dimse"]


class DimseCommand:
    """The command over the spool in a folder, with its log beside it; it listens once this is made."""

    def __init__(self, folder: Path, log: Path, *options: str, **environment: str) -> None:
        self.port = free_port()
        self._log = log
        variables = {
            "LUNGSCOPE_SPOOL_DIR": str(folder),
            "LUNGSCOPE_DIMSE_CALLERS": "CT01, ORTHANC",
            **environment,
        }
        with log.open("ab") as stream:
            before = self.log.count("DIMSE is taken")
            self.process = subprocess.Popen(
                [
                    *("env", *(f"{name}={value}" for name, value in variables.items())),
                    *(*COMMAND, "--port", str(self.port), *options),
                ],
                stderr=stream,
            )
        eventually(lambda: self.log.count("DIMSE is taken") > before or self.process.poll() is not None)
        assert self.process.poll() is None, self.log

    @property
    def log(self) -> str:
        """All that it has written."""
        return self._log.read_text("utf-8")

    def end(self) -> int:
        """Its exit code after SIGTERM."""
        self.process.terminate()
        return self.process.wait(PATIENCE_S)
