"""When dead workers are replaced: at once after a life, later each time where they die at once."""

from __future__ import annotations

import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors.multiprocess import SIGNALS

from app.server.load_board import LoadBoard
from app.server.restarts import LIVED_S, MAX_PAUSE_S, Restarts
from app.server.supervisor import Supervisor, start_failed
from tests.clock import Clock


def test_pauses_double_and_begin_anew_after_a_life(clock: Clock) -> None:
    restarts = Restarts(clock)
    pauses = []
    for _ in range(9):
        restarts.started(0)
        clock.now += 3
        pauses.append(restarts.died(0))
        clock.now += pauses[-1]
        assert restarts.due(0)
    assert pauses == [1, 2, 4, 8, 16, 32, MAX_PAUSE_S, MAX_PAUSE_S, MAX_PAUSE_S]
    restarts.started(0)
    clock.now += LIVED_S
    assert (restarts.died(0), restarts.due(0)) == (0, True)
    restarts.started(0)
    assert restarts.died(0) == 1


def test_places_do_not_wait_for_each_other(clock: Clock) -> None:
    restarts = Restarts(clock)
    restarts.started(0)
    restarts.started(1)
    restarts.died(0)
    assert (restarts.waits(0), restarts.waits(1)) == (True, False)
    assert not restarts.due(0)
    clock.now += LIVED_S
    assert restarts.due(1)


# The applications of workers, which end as soon as they are made.
def killed() -> Any:
    os.kill(os.getpid(), signal.SIGBUS)


def of_no_use() -> Any:
    os._exit(STARTUP_FAILURE)


class Supervised:
    """A supervisor of one worker, step by step."""

    def __init__(self, folder: Path, clock: Clock, app: Any, listening: socket.socket) -> None:
        config = uvicorn.Config(app, factory=True, workers=1, log_config=None)
        self.supervisor = Supervisor(config, [listening], app, LoadBoard(1, folder), folder, Restarts(clock))
        self.supervisor.init_processes()

    @property
    def pid(self) -> int | None:
        return self.supervisor.processes[0].pid

    def step(self) -> None:
        """What the supervisor does twice a second, once its worker has ended."""
        self.supervisor.processes[0].join()
        self.supervisor.keep_subprocess_alive()


@pytest.fixture
def supervise(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Any], Supervised]]:
    """Makes one, which takes all signals of this process until the test is over."""
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    before = {each: signal.getsignal(each) for each in SIGNALS}
    with socket.socket() as listening:
        yield lambda app: Supervised(tmp_path, clock, app, listening)
    for each, handler in before.items():
        signal.signal(each, handler)


SIGBUS_SAID: Final = "/dev/shm, full?"


def test_a_worker_that_dies_at_once_is_replaced_later_each_time(
    supervise: Callable[[Any], Supervised], clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    supervised = supervise(killed)
    for pause_s in (1, 2, 4):
        first = supervised.pid
        for _ in range(20):
            supervised.step()
        assert supervised.pid == first
        clock.now += pause_s
        supervised.step()
        assert supervised.pid != first
    assert [record.message.count(SIGBUS_SAID) for record in caplog.records] == [1, 1, 1]
    assert not start_failed(supervised.supervisor)
    supervised.supervisor.processes[0].join()


def test_a_worker_that_says_that_starting_is_of_no_use_is_not_replaced(
    supervise: Callable[[Any], Supervised],
) -> None:
    supervised = supervise(of_no_use)
    supervised.step()
    assert supervised.supervisor.should_exit.is_set()
    assert start_failed(supervised.supervisor)
