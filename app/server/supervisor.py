"""uvicorn's supervisor of workers, which also counts restarts, pauses before them, and notices at once workers that are
dead and soon those that stand still."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable
from pathlib import Path
from socket import socket
from typing import Any, Final

import uvicorn
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import mark_process_dead
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess
from uvicorn.supervisors.multiprocess import Process

from app.errors import StartupError
from app.server.load_board import LoadBoard
from app.server.metrics_folder import OF_SUPERVISOR, reserve, trim
from app.server.pulse import START_S, Worker
from app.server.restarts import Restarts
from app.telemetry import worker_restarts

HINTS: Final = {-signal.SIGBUS: ": is the folder of temporary files, or /dev/shm, full?"}  # by exit code
logger = logging.getLogger(__name__)


def start_failed(supervisor: Multiprocess) -> bool:
    """Whether the service ended because a worker could not start, under ours and under uvicorn's own."""
    return any(process.exitcode == STARTUP_FAILURE for process in supervisor.processes)


class Supervisor(Multiprocess):
    """Supervises the workers on shared sockets, and replaces each that dies or, on SIGHUP, all of them.

    SIGHUP replaces each worker by a new one that has loaded its models. A worker that dies is replaced, after a pause
    if it died soon after its start. If its exit code says that it can never start, the service ends. `replacement`
    makes the application of later workers: they take no request before they have loaded their models, while the first
    workers answer that they are loading. `renew` gives the replacement to be used from a SIGHUP on, once the first
    worker that it has made is ready; where it raises StartupError nothing is replaced. `metrics_folder` holds the
    workers' counts.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        sockets: list[socket],
        replacement: Callable[[], Any],
        board: LoadBoard,
        metrics_folder: Path,
        restarts: Restarts | None = None,
        renew: Callable[[], Callable[[], Any]] | None = None,
    ) -> None:
        super().__init__(config, sockets)
        self._replacement = replacement
        self._renew = renew
        self._board = board
        self._metrics_folder = metrics_folder
        self._pauses = restarts or Restarts()
        reserve(metrics_folder, OF_SUPERVISOR)
        self._restarts = worker_restarts(CollectorRegistry())
        self._pids: set[int] = set()

    def init_processes(self) -> None:
        """Start the first workers."""
        self.processes = [self._started() for _ in range(self.processes_num)]
        self.config.app = self._replacement
        for place in range(len(self.processes)):
            self._pauses.started(place)
        self._take_stock()

    def keep_subprocess_alive(self) -> None:
        """Replace workers that have died or stand still, and count them."""
        for place, process in enumerate(self.processes):
            if self.should_exit.is_set():
                return
            if process.is_alive(self.config.timeout_worker_healthcheck):
                continue
            if not self._pauses.waits(place):
                self._bury(place, process)
            if not self.should_exit.is_set() and self._pauses.due(place):
                self._replace(place, process)
        self._take_stock()

    def _bury(self, place: int, process: Process) -> None:
        """End a worker that is dead or stands still, and log it; stop the service if its exit code says that it can
        never start."""
        if process.exitcode is None:
            logger.error("worker %s stands still: its event loop or a thread gives no sign of life", process.pid)
        process.kill()
        process.join()
        if process.exitcode == STARTUP_FAILURE:
            self.should_exit.set()
            return
        hint = HINTS.get(process.exitcode or 0, "")
        if pause_s := self._pauses.died(place):
            logger.error(
                "worker %s died (%s) soon after its start%s; the next starts in %.0f s",
                process.pid,
                process.exitcode,
                hint,
                pause_s,
            )
        else:
            logger.error("worker %s died (%s)%s", process.pid, process.exitcode, hint)

    def _started(self) -> Worker:
        new = Worker(self.config, self.sockets)
        new.start()
        return new

    def _replace(self, place: int, dead: Process) -> None:
        new = self._started()
        self.processes[place] = new
        self._pauses.started(place)
        self._restarts.inc()
        logger.warning("worker %s is replaced by %s", dead.pid, new.pid)

    def restart_all(self) -> None:
        """Replace the workers one after the other, each by one that is ready; replace none if the first new one
        fails."""
        try:
            self.config.app = self._replacement if self._renew is None else self._renew()
        except StartupError as error:
            logger.error("nothing is reloaded, what is served goes on: %s", error)
            return
        for place, old in enumerate(self.processes):
            new = self._started()
            if not new.wait_until_ready(START_S, self.should_exit):
                new.kill()
                new.join()
                if not self.should_exit.is_set():
                    logger.error("worker %s was not ready in time; worker %s stays", new.pid, old.pid)
                break
            self._replacement = self.config.app
            old.terminate()
            old.join()
            self.processes[place] = new
            self._pauses.started(place)
        self.config.app = self._replacement
        self._take_stock()

    def terminate_all(self) -> None:
        """Take no new connection and let every worker finish its requests."""
        for each in self.sockets:
            each.close()
        super().terminate_all()

    def _take_stock(self) -> None:
        """Forget the gauges of workers that have ended, and watch the others, so that a death is noticed at once."""
        alive = {process.pid for process in self.processes if process.pid is not None and process.exitcode is None}
        for pid in self._pids - alive:
            self._board.forget(pid)
            mark_process_dead(pid)  # type: ignore[no-untyped-call]  # prometheus_client leaves it untyped
            trim(self._metrics_folder, pid)
        self._pids = alive
        for process in self.processes:
            # The worker's end of the pipe: while it is open here too, a question to a dead worker waits for HUNG_S.
            process.child_conn.close()
