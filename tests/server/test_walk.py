"""The way of one upload through the rooms of the house, as docs/architecture.md draws it."""

from __future__ import annotations

import http.client
import sys
import threading
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from types import FrameType
from typing import Final

import pytest
import uvicorn

from app.api.routes.docs import EXAMPLE_SLICE
from app.main import create_app
from app.settings import Settings
from benchmarks.serving.service import PATIENCE_S, eventually, free_port
from tests.fakes import ArithmeticBackend, ArithmeticFilter, write_models

APP: Final = Path(sys.modules["app"].__file__ or "").parent
# The station that each room is; the two that judge are one. What every room may use is no station.
STATIONS: Final = {"server": "server", "api": "api", "judgement": "judgement", "imaging": "judge", "inference": "judge"}
MOST_MODULES: Final = 12
# The queue in front of the judges, and the bundle's facts, are looked at from outside.
PASSED_BY: Final = ("inference.engine", "inference.registry")


class Tracer:
    """Takes down which modules of ours are called, in order, while it is on."""

    def __init__(self) -> None:
        self.on = False
        self.modules: list[str] = []

    def __call__(self, frame: FrameType, event: str, _argument: object) -> None:
        """Of `threading.setprofile`."""
        if self.on and event == "call" and frame.f_code.co_filename.startswith(str(APP)):
            path = Path(frame.f_code.co_filename).relative_to(APP).with_suffix("")
            self.modules.append(".".join(path.parts))


@pytest.fixture
def traced(tmp_path: Path) -> Iterator[tuple[Tracer, int]]:
    """The service on the arithmetic model under the shipped server, and its port."""
    write_models(tmp_path)
    tracer, port = Tracer(), free_port()
    threading.setprofile(tracer)
    settings = Settings(models_dir=tmp_path, threads=1)
    app = create_app(settings, backend=ArithmeticBackend(), detector_backend=ArithmeticFilter())
    config = uvicorn.Config(app, port=port, http="app.server.connection:Connection", loop="app.server.loop:ServerLoop",
                            ws="none", log_config=None)  # fmt: skip
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield tracer, port
    finally:
        threading.setprofile(None)
        server.should_exit = True
        thread.join()


def ask(port: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        connection.request("POST", "/v1/predict?roi=148,240", EXAMPLE_SLICE.read_bytes())
        response = connection.getresponse()
        response.read()
        return response.status
    except OSError:
        return 0
    finally:
        connection.close()


def test_an_upload_enters_each_room_once(traced: tuple[Tracer, int]) -> None:
    tracer, port = traced
    assert eventually(lambda: ask(port) == 200)
    tracer.on = True
    assert ask(port) == 200
    tracer.on = False
    rooms = [STATIONS.get(m.split(".")[0]) for m in tracer.modules if m not in PASSED_BY]
    walk = [room for room, _ in groupby(room for room in rooms if room is not None)]
    assert walk == ["server", "api", "judgement", "judge", "judgement", "api", "server"], tracer.modules
    beside = {m for m in tracer.modules if STATIONS.get(m.split(".")[0]) != "judge"}
    assert len(beside) <= MOST_MODULES, sorted(beside)
