"""uvicorn's supervisor, with what operators want to see of it: restarts in the metrics, no waiting for the dead."""

from __future__ import annotations

import logging
from collections.abc import Callable
from socket import socket
from typing import Any, Final

import uvicorn
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import mark_process_dead
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from app.server.load_board import LoadBoard
from app.telemetry import worker_restarts

HUNG_S: Final = 30  # without a sign of life; a worker starting on a throttled core imports for ten
RELOAD_S: Final = 180  # for a new worker to load its models; TensorFlow on a throttled core takes a minute
logger = logging.getLogger(__name__)


class Supervisor(Multiprocess):
    """Workers on shared sockets. SIGHUP replaces each by a new one that has loaded its models; one that dies is
    replaced, unless it says that starting is of no use.

    `replacement` makes the application of workers that come later: they take no request before they can judge it,
    while the first ones tell who asks that they are loading.
    """

    def __init__(
        self, config: uvicorn.Config, sockets: list[socket], replacement: Callable[[], Any], board: LoadBoard
    ) -> None:
        super().__init__(config, sockets)
        self._replacement = replacement
        self._board = board
        self._restarts = worker_restarts(CollectorRegistry())
        self._pids: set[int] = set()

    @property
    def start_failed(self) -> bool:
        """Whether it ended because a worker could not be started."""
        return any(process.exitcode == STARTUP_FAILURE for process in self.processes)

    def init_processes(self) -> None:
        """Start the first workers."""
        self.config.timeout_worker_healthcheck = HUNG_S
        super().init_processes()
        self.config.app = self._replacement
        self._take_stock()

    def keep_subprocess_alive(self) -> None:
        """Replace what died, and count it."""
        before = list(self.processes)
        super().keep_subprocess_alive()
        for old, new in zip(before, self.processes, strict=True):
            if old is not new:
                logger.error("worker %s died (%s) and is replaced by %s", old.pid, old.exitcode, new.pid)
                self._restarts.inc()
        self._take_stock()

    def restart_all(self) -> None:
        """Replace every worker by a new one that is ready, one after the other; none when the first is not."""
        self.config.timeout_worker_healthcheck = RELOAD_S
        super().restart_all()
        self.config.timeout_worker_healthcheck = HUNG_S
        self._take_stock()

    def terminate_all(self) -> None:
        """Refuse new connections and let every worker drain."""
        for each in self.sockets:
            each.close()
        super().terminate_all()

    def _take_stock(self) -> None:
        """Forget the gauges of those that are gone, and hear at once when one of the others dies."""
        alive = {process.pid for process in self.processes if process.pid is not None}
        for pid in self._pids - alive:
            self._board.forget(pid)
            mark_process_dead(pid)  # type: ignore[no-untyped-call]  # prometheus_client leaves it untyped
        self._pids = alive
        for process in self.processes:
            # The worker's end of the pipe: while it is open here too, a question to a dead worker waits for HUNG_S.
            process.child_conn.close()
