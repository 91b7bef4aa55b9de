"""Counts that workers share where there is little room: reserved before they are mapped, refused in words, no loop."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from app.errors import NoSharedRoom
from app.server import metrics_folder
from app.server.metrics_folder import OF_SUPERVISOR, OF_WORKER, require_room, reserve, shared_metrics_folder, trim
from benchmarks.serving.service import PATIENCE_S, Service, eventually
from tests.server.test_service import children, metric
from tests.small_disk import fill, small_disk

# Counts every metric with every label there can be, in a folder where files were reserved, and says how large they are.
COUNT: Final = """
import os, sys
from itertools import product
from pathlib import Path
from app.settings import counts_shared_in
from app.server.metrics_folder import reserve
folder = Path(sys.argv[1])
with counts_shared_in(folder):
    reserve(folder)
    from app.api.problems import PROBLEMS
    from app.main import create_app
    from app.settings import Settings
    from app.telemetry import Metrics
    from tests.fakes import arithmetic_backends, ArithmeticBackend, ArithmeticFilter, write_models
    models = Path(sys.argv[2])
    write_models(models)
    app = create_app(Settings(models_dir=models), backends=arithmetic_backends())
    metrics = Metrics(folder)
    documented = app.openapi()["paths"]
    for path, methods in [*documented.items(), ("unknown", {"get": {}}), ("/docs", {"get": {}})]:
        metrics.latency(path).observe(1)
        for method in ("GET", "HEAD", "POST", "OPTIONS", "other"):
            statuses = methods.get(method.lower(), {"responses": {}}).get("responses", {})
            for status in {200, 405, 499, 500, 503, *map(int, statuses)}:
                metrics.requests(method, path, status).inc()
    for number in range(24):
        metrics.stages(f"stage {number}").observe(1)
        metrics.series_stages(f"stage {number}").observe(1)
        metrics.spooled_series(f"outcome {number}").inc()
        metrics.deliveries("destination", f"outcome {number}").inc()
    for kind in PROBLEMS.values():
        metrics.problems(kind.code).inc()
    for path in folder.glob("*.db"):
        used = int.from_bytes(path.read_bytes()[:4], "little")
        print(path.name.removesuffix(f"_{os.getpid()}.db"), path.stat().st_size, path.stat().st_blocks * 512, used)
"""


pytestmark = pytest.mark.usefixtures("temporary")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", 4) as folder:
        yield folder


def test_what_is_reserved_is_enough_without_holes_and_for_every_file(tmp_path: Path) -> None:
    folder, models = tmp_path / "counts", tmp_path / "models"
    folder.mkdir()
    models.mkdir()
    counted = subprocess.run(
        [sys.executable, "-c", COUNT, str(folder), str(models)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    found = {name: tuple(map(int, sizes)) for name, *sizes in map(str.split, counted.stdout.splitlines())}
    assert {name: size for name, (size, _, _) in found.items()} == OF_WORKER
    for size, on_disk, used in found.values():
        assert on_disk >= size
        assert used <= size * 0.75  # there is room for a few routes more


def test_no_room_is_said_with_the_folder_and_the_bytes(disk: Path) -> None:
    fill(disk)
    with pytest.raises(NoSharedRoom, match=f"{disk}.*{sum(OF_WORKER.values())} bytes"):
        reserve(disk)
    with pytest.raises(NoSharedRoom, match=str(disk)):
        require_room(disk, 1)
    assert [path.name for path in disk.iterdir()] == ["filler"]


def test_room_for_all_workers_is_tried_and_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(metrics_folder, "_fill", lambda _, size: asked.append(size))
    require_room(tmp_path, 3)
    assert asked == [4 * sum(OF_WORKER.values()) + sum(OF_SUPERVISOR.values())]
    monkeypatch.undo()
    require_room(tmp_path, 1)
    assert not list(tmp_path.iterdir())


def test_what_a_dead_worker_did_not_use_is_freed(tmp_path: Path) -> None:
    reserve(tmp_path)
    path = tmp_path / f"counter_{os.getpid()}.db"
    with path.open("r+b") as file:
        file.write(b"x" * 5000)
    trim(tmp_path, os.getpid())
    sizes = {each.name.rpartition("_")[0]: each.stat().st_size for each in tmp_path.glob("*.db")}
    assert sizes.pop("counter") == 8192
    assert path.read_bytes().rstrip(b"\0") == b"x" * 5000
    assert set(sizes.values()) == {4096}
    reserve(tmp_path)  # another process with the same number
    assert {each.stat().st_size for each in tmp_path.glob("counter_*")} == {OF_WORKER["counter"]}
    assert path.read_bytes().rstrip(b"\0") == b"x" * 5000


def test_a_start_without_room_ends_with_2_and_one_message(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filler = fill(disk)
    os.truncate(filler, filler.stat().st_size - (512 << 10))  # room for a folder, and for half a worker
    monkeypatch.setenv("TMPDIR", str(disk))
    service = Service(workers=2)
    errors = service.rest_of_log()
    assert service.process.returncode == 2
    assert errors.count("too little room") == 1
    assert str(disk) in errors
    assert "Traceback" not in errors


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_disk_that_fills_later_kills_no_worker(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(disk))
    service = Service(workers=2)
    service.wait_until_ready()
    service.wait_until_ready()
    before = children(service)
    fill(disk)
    # Each path that is counted for the first time takes more of the files.
    paths = ["/v1/models", "/v1/models/nodule-classifier", "/docs", "/openapi.json", "/health", "/dicom-web/studies"]
    for _ in range(10):
        for path in paths:
            with suppress(HTTPError), urlopen(service.url(path), timeout=PATIENCE_S) as answer:
                answer.read()
    assert children(service) == before
    assert metric(service, "lungscope_worker_restarts_total") == 0
    os.kill(min(before), signal.SIGKILL)
    assert any("too little room" in line for line in service.log())
    assert service.listens()
    (disk / "filler").unlink()
    assert eventually(lambda: metric(service, "lungscope_ready") == 1 and len(children(service)) == 2)
    service.process.terminate()
    assert service.end() == 0


def test_errors_of_the_folder_name_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with shared_metrics_folder() as folder:
        monkeypatch.setattr(metrics_folder, "_fill", full)
        with pytest.raises(NoSharedRoom, match=str(folder)):
            require_room(folder, 2)
