"""The process that cells are forked from, as the service sees it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Final

START_S: Final = 60.0  # to import the decoders; a throttled core takes ten
ANSWER_S: Final = 30.0  # a fork and a kill take milliseconds, but for where the cores are fought over
MAX_MESSAGE_BYTES: Final = 64
MODULE: Final = "app.cell.process"
# The service may run from the folder that it was started in, which is in its path without a name.
OWN_CODE: Final = str(Path(__file__).parents[2])
# No thread but its own: it forks. Nor anything else of the service's environment, which holds secrets.
ENVIRONMENT: Final = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "OPENCV_LOG_LEVEL": "SILENT"}


class TemplateLost(Exception):
    """The template does not answer, or cannot fork."""


class Template:
    """A template process; starts at once, and loads the decoders while others go on. Thread-safe.

    It is started anew and not forked from the service, which has threads and has loaded a runtime of models.
    """

    def __init__(self, memory_bytes: int, cores: Collection[int]) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = threading.Lock()
        self._is_ready = False
        arguments = [str(theirs.fileno()), str(memory_bytes), *map(str, cores)]
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-s", "-m", MODULE, *arguments],
                env={**ENVIRONMENT, "PYTHONPATH": os.pathsep.join([*filter(None, sys.path), OWN_CODE])},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )

    def fork(self) -> tuple[int, socket.socket]:
        """A new cell: its process id and the connection to it. Raises TemplateLost."""
        ours, theirs = socket.socketpair()
        try:
            with theirs, self._lock:
                self._wait_until_ready()
                socket.send_fds(self._control, [b"fork"], [theirs.fileno()])
                pid = int(self._answer())
        except (OSError, ValueError) as error:
            ours.close()
            raise TemplateLost from error
        if not pid:
            ours.close()
            raise TemplateLost
        return pid, ours

    def end(self, pid: int) -> int:
        """Kill a cell unless it has ended; returns minus the signal that ended it, or its exit code, and 0 where
        nobody knows. A number is given to no other process before this."""
        with suppress(OSError, ValueError), self._lock:
            self._control.send(b"end %d" % pid)
            return int(self._answer())
        return 0

    def close(self) -> None:
        """End the template, and so its cells."""
        self._control.close()
        # Cells are told by the system when it ends.
        self._process.kill()
        self._process.wait()

    def _wait_until_ready(self) -> None:
        if not self._is_ready:
            self._control.settimeout(START_S)
            self._answer()
            self._control.settimeout(ANSWER_S)
            self._is_ready = True

    def _answer(self) -> bytes:
        """What it says; raises OSError when it says nothing in time, or has ended."""
        answer = self._control.recv(MAX_MESSAGE_BYTES)
        if not answer:
            raise BrokenPipeError
        return answer
