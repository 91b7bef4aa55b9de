"""The processes that judge: each holds the models once, gets one series at a time, and is replaced when it ends."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Final, Self, TypeAlias

from app.batch.index import Outcome, Series
from app.batch.judging import outcome_of
from app.errors import StartupError
from app.judgement.judge import Judge

READY: Final = "ready"
MAX_STARTS: Final = 3  # one after the other, of which none gets as far as to judge
LoadJudge: TypeAlias = Callable[[], AbstractContextManager[Judge]]
Judged: TypeAlias = tuple[str, Outcome]


def work(connection: Connection, load: LoadJudge) -> None:
    """Judge what comes until the other end is closed. `load` gives the judge, its models loaded."""
    with suppress(ValueError):  # only the main thread of a process has signals
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all; the parent ends its workers
    # Where the parent was killed, whoever goes on judges the series at hand again.
    with connection, suppress(EOFError, BrokenPipeError, ConnectionResetError), load() as judge:
        connection.send(READY)
        while True:
            connection.send(outcome_of(connection.recv(), judge))


@dataclass(eq=False)
class Worker:
    """A process, the connection to it, and the series at hand; `is_ready` once its models are loaded."""

    process: BaseProcess
    connection: Connection
    series: Series | None = None
    is_ready: bool = False

    def judge(self, series: Series) -> None:
        """Hand it a series."""
        self.series = series
        with suppress(BrokenPipeError, ConnectionResetError):  # its end is heard as news
            self.connection.send(series)


class Workers:
    """So many processes at work."""

    def __init__(self, count: int, load: LoadJudge) -> None:
        self._load = load
        self._context = get_context("spawn")  # a runtime of models has threads: it cannot be forked
        self._failed_starts = 0
        self._workers = [self._started() for _ in range(count)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        for worker in self._workers:
            worker.connection.close()
            worker.process.terminate()
        for worker in self._workers:
            worker.process.join()

    @property
    def idle(self) -> list[Worker]:
        """Those with nothing to do."""
        return [worker for worker in self._workers if worker.is_ready and worker.series is None]

    def news(self) -> Iterator[tuple[Series, Judged | None]]:
        """Wait until there are any: a series with what was said of it, or None where its worker ended.

        Raises StartupError where the models cannot be loaded.
        """
        told = wait([worker.connection for worker in self._workers])
        for place, worker in enumerate(self._workers):
            if worker.connection not in told:
                continue
            try:
                message = worker.connection.recv()
            except (EOFError, OSError):
                message = None
                self._replace(place)
            if message == READY:
                worker.is_ready, self._failed_starts = True, 0
            elif worker.series is not None:
                yield worker.series, message
                worker.series = None

    def _replace(self, place: int) -> None:
        ended = self._workers[place]
        ended.connection.close()
        ended.process.join()
        self._failed_starts += not ended.is_ready
        if self._failed_starts >= MAX_STARTS:
            raise StartupError(
                found=f"workers that end while they load the models (exit code {ended.process.exitcode})",
                expected="memory for one set of models in each worker",
                remedy="Give fewer --workers. What was judged is kept: the same command goes on.",
            )
        self._workers[place] = self._started()

    def _started(self) -> Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=work, args=(theirs, self._load), daemon=True)
        process.start()
        theirs.close()
        return Worker(process, ours)
