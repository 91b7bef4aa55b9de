"""The command `lungscope` as it is, but that its workers judge by arithmetic: all else is what is shipped."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

from app.cli import main as lungscope
from app.cli import serve
from app.server.load_board import LoadBoard
from app.settings import Settings

COMMAND: Final = (
    sys.executable,
    "-c",
    "import sys; from benchmarks.doors.instance import run; sys.exit(run(sys.argv[1:]))",
)
shipped_worker = serve.worker_app


def worker(settings: Settings, metrics_folder: Path, board: LoadBoard | None, *, load_first: bool = False) -> Any:
    """The application of one worker, which a supervisor imports from here."""
    # Here, as the supervisor does without: every start would take as long again.
    from app import main as application
    from benchmarks.arithmetic import arithmetic_backends

    with patch.object(application, "create_app", partial(application.create_app, backends=arithmetic_backends())):
        return shipped_worker(settings, metrics_folder, board, load_first=load_first)


def run(arguments: list[str]) -> int:
    """The command with these arguments; returns its exit code."""
    with patch.object(serve, "worker_app", worker):
        return lungscope(arguments)
