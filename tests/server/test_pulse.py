"""Workers whose event loop or threads stand still are noticed from outside and replaced."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from uvicorn.supervisors.multiprocess import SIGNALS

from app.server import pulse
from app.server.hooks import PULSE
from app.server.load_board import LoadBoard
from app.server.pulse import Pulse
from app.server.supervisor import Supervisor
from benchmarks.serving.service import PATIENCE_S, Service, eventually


def test_pulse_waits_until_the_event_loop_turns() -> None:
    loop, held, waited = asyncio.new_event_loop(), threading.Event(), threading.Event()
    running = threading.Thread(target=loop.run_forever)
    running.start()
    loop.call_soon_threadsafe(held.wait)

    def wait() -> None:
        Pulse(loop, lambda: False).wait()
        waited.set()

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert not waited.is_set()
    held.set()
    assert waited.wait(PATIENCE_S)
    loop.call_soon_threadsafe(loop.stop)
    running.join(PATIENCE_S)
    waiting.join(PATIENCE_S)
    loop.close()
    Pulse(loop, lambda: False).wait()  # of a process that ends


def test_pulse_waits_while_a_thread_is_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "LOOK_S", 0)
    stuck = iter([True, True, False])

    async def scenario() -> None:
        await asyncio.to_thread(Pulse(asyncio.get_running_loop(), lambda: next(stuck)).wait)

    asyncio.run(scenario())
    assert next(stuck, None) is None


def standing_still() -> Any:
    """An application whose event loop never turns again once it serves."""

    async def app(scope: Any, receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
        loop = asyncio.get_running_loop()
        await receive()
        scope["state"][PULSE] = Pulse(loop, lambda: False)
        loop.call_later(0.2, time.sleep, 3600)
        await send({"type": "lifespan.startup.complete"})
        await receive()

    return app


def stuck() -> Any:
    """An application one of whose threads never ends its work."""

    async def app(scope: Any, receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
        await receive()
        scope["state"][PULSE] = Pulse(asyncio.get_running_loop(), lambda: True)
        await send({"type": "lifespan.startup.complete"})
        await receive()

    return app


@pytest.fixture
def signals_kept() -> Iterator[None]:
    before = {each: signal.getsignal(each) for each in SIGNALS}
    yield
    for each, handler in before.items():
        signal.signal(each, handler)


@pytest.mark.usefixtures("signals_kept")
@pytest.mark.parametrize("application", [standing_still, stuck])
def test_worker_that_stands_still_is_replaced(
    application: Callable[[], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        config = uvicorn.Config(
            application, factory=True, workers=1, log_config=None, timeout_worker_healthcheck=1, lifespan="on"
        )
        supervisor = Supervisor(config, [listening], application, LoadBoard(1, tmp_path), tmp_path)
        supervisor.init_processes()
        first = supervisor.processes[0].pid

        def is_replaced() -> bool:
            supervisor.keep_subprocess_alive()
            return supervisor.processes[0].pid != first

        eventually(is_replaced)
        assert any(f"worker {first} stands still" in record.message for record in caplog.records)
        for process in supervisor.processes:
            process.kill()
            process.join()


def children(pid: int) -> list[int]:
    """The worker processes of a service."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    commands = {int(child): Path(f"/proc/{child}/cmdline").read_bytes() for child in found}
    return [child for child, command in commands.items() if b"spawn_main" in command]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_stopped_worker_is_replaced_and_the_other_answers_meanwhile() -> None:
    service = Service(workers=2, environment={"LUNGSCOPE_HUNG_SECONDS": "2"})
    service.wait_until_ready()
    try:
        eventually(lambda: len(children(service.process.pid)) == 2)
        stopped, other = children(service.process.pid)
        os.kill(stopped, signal.SIGSTOP)
        eventually(lambda: stopped not in children(service.process.pid))
        assert other in children(service.process.pid)
        with service.connect() as connection:
            connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")
        eventually(lambda: len(children(service.process.pid)) == 2)
    finally:
        service.process.terminate()
        assert service.end() == 0
