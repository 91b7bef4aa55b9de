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
from app.server import cores
from app.server.load_board import LoadBoard
from app.settings import Settings
from benchmarks.serving.service import PATIENCE_S, eventually, free_port
from tests.fakes import arithmetic_backends, write_models

APP: Final = Path(sys.modules["app"].__file__ or "").parent
ROOMS: Final = ("server", "api", "judgement")
JUDGES: Final = ("imaging", "inference")
# The queue in front of the judges and the models' registry are asked from outside.
QUEUES: Final = ("inference.engine", "inference.arrivals", "inference.registry", "imaging.options")
# What only counts on the way.
BOUNDS: Final = ("server.connections", "server.draining", "server.head_meter", "api.header_values")
PLACES: Final = ("imaging.lung_frame",)  # whose answers ask a place for its side and third
PASSED_BY: Final = (*QUEUES, *BOUNDS, *PLACES)
# Of the rooms; the metrics, which every room may count in, come on top.
MOST_MODULES: Final = 16
MOST_AMONG_WORKERS: Final = MOST_MODULES + 2  # is another idler? connection passing asks the load board


class Tracer:
    """Takes down which modules of ours are called, in order, while it is on."""

    def __init__(self) -> None:
        self.on = False
        self.modules: list[str] = []
        self.quiet_looks = 0

    def __call__(self, frame: FrameType, event: str, _argument: object) -> None:
        """Of `threading.setprofile`."""
        if self.on and event == "call" and frame.f_code.co_filename.startswith(str(APP)):
            path = Path(frame.f_code.co_filename).relative_to(APP).with_suffix("")
            self.modules.append(".".join(path.parts))

    def is_quiet(self) -> bool:
        """Turns it on; whether nothing of ours was called between the last time this was asked and now."""
        called, self.modules, self.on = self.modules, [], True
        self.quiet_looks = 0 if called else self.quiet_looks + 1
        return self.quiet_looks > 1


@pytest.fixture(params=[1, 2])
def traced(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Tracer, int, int]]:
    """The service on the arithmetic model under the shipped server with all its pieces, its port, and the most modules
    of one alone or of one among several workers."""
    board, most = (None, MOST_MODULES) if request.param == 1 else (LoadBoard(2, tmp_path), MOST_AMONG_WORKERS)
    monkeypatch.setattr(cores, "LOOK_S", PATIENCE_S)  # what is done now and then is not the request's
    write_models(tmp_path)
    tracer, port = Tracer(), free_port()
    threading.setprofile(tracer)
    settings = Settings(models_dir=tmp_path)
    app = create_app(settings, backends=arithmetic_backends(), board=board)
    config = uvicorn.Config(app, port=port, http="app.server.connection:Connection", loop="app.server.loop:ServerLoop",
                            ws="none", log_config=None)  # fmt: skip
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield tracer, port, most
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


def test_an_upload_enters_each_room_once(traced: tuple[Tracer, int, int]) -> None:
    tracer, port, most = traced
    assert eventually(lambda: ask(port) == 200)
    # A response is read before the service has done with it.
    assert eventually(tracer.is_quiet)
    assert ask(port) == 200
    tracer.on = False
    called = [module for module in tracer.modules if module not in PASSED_BY]
    first = {room: called.index(next(m for m in called if m.startswith(room))) for room in (*ROOMS, "imaging")}
    assert sorted(first, key=first.__getitem__) == [*ROOMS, "imaging"]
    # From the first line of reading to the last of the answer nothing else is in between.
    begin = called.index("judgement.judge")
    end = 1 + max(n for n, module in enumerate(called) if module.startswith("judgement"))
    walk = [room for room, _ in groupby(_room(module) for module in called[begin:end])]
    assert walk == ["judgement", "judge", "judgement", "judge", "judgement"], called[begin:end]
    assert not [module for module in called[end:] if module.startswith(JUDGES)]
    passed = {module for module in called if module.startswith(ROOMS)}
    assert len(passed) <= most, " ".join(sorted(passed))


def _room(module: str) -> str:
    # The words of an answer are looked up in tables, and what every room may use is no room.
    if module in ("inference.vocabulary", "inference.finding_words") or module.startswith(("telemetry", "errors")):
        return "judgement"
    return "judge" if module.startswith(JUDGES) else module.split(".")[0]
