"""STOW-RS on a disk that is full or fails: said with Retry-After, nothing half-written, over when there is room."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest
from starlette.testclient import TestClient

from app import locks
from app.delivery.database import sqlite
from app.delivery.spool import spool
from app.main import create_app
from app.settings import Settings
from benchmarks.serving.service import eventually
from phantoms.series import slice_file
from tests.api.conftest import wait_until_ready
from tests.api.dicomweb.test_dicomweb import RELATED, STUDIES, post, related, spooled
from tests.fakes import arithmetic_backends, write_models
from tests.small_disk import fill, small_disk

FULL: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
FAULTS: Final = [*sorted(FULL), errno.EROFS, errno.EACCES, errno.EIO]
Break = Callable[[pytest.MonkeyPatch, OSError], None]


def started(tmp_path: Path, folder: Path) -> TestClient:
    if not (tmp_path / "nodule-classifier").exists():
        write_models(tmp_path)
    # The quiet period keeps what came in the spool.
    settings = Settings(models_dir=tmp_path, spool_dir=folder, quiet_seconds=3600, settle_seconds=600, threads=1)
    app = create_app(settings, backends=arithmetic_backends())
    return TestClient(app, raise_server_exceptions=False)


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    with started(tmp_path, tmp_path / "state") as client:
        wait_until_ready(client)
        yield client


def refuse(error: OSError) -> Callable[..., Any]:
    def refused(*_: object, **__: object) -> Any:
        raise error

    return refused


def opening(patches: pytest.MonkeyPatch, error: OSError) -> None:
    patches.setattr(spool.Reception, "open_part", refuse(error))


def writing(patches: pytest.MonkeyPatch, error: OSError) -> None:
    """As a buffered file does it: the last bytes are written when it is closed."""

    class Part:
        def write(self, data: bytes) -> int:
            return len(data)

        def close(self) -> None:
            raise error

    patches.setattr(spool.Reception, "open_part", lambda _: Part())


def syncing(patches: pytest.MonkeyPatch, error: OSError) -> None:
    patches.setattr(spool, "sync", refuse(error))


def renaming(patches: pytest.MonkeyPatch, error: OSError) -> None:
    patches.setattr(Path, "rename", refuse(error))


def making_folders(patches: pytest.MonkeyPatch, error: OSError) -> None:
    patches.setattr(Path, "mkdir", refuse(error))


def locking(patches: pytest.MonkeyPatch, error: OSError) -> None:
    patches.setattr(locks, "_opened", refuse(error))


BREAKS: Final = [opening, writing, syncing, renaming, making_folders, locking]
EACH: Final = [*((break_, errno.ENOSPC) for break_ in BREAKS), *((syncing, fault) for fault in FAULTS)]


@pytest.mark.parametrize(("break_", "fault"), EACH)
def test_any_write_that_fails(client: TestClient, tmp_path: Path, break_: Break, fault: int) -> None:
    settings = client.app.state.services.settings  # type: ignore[attr-defined]  # an ASGI application here
    body = related([slice_file(0), slice_file(1)])
    with pytest.MonkeyPatch.context() as patches:
        break_(patches, OSError(fault, os.strerror(fault)))
        answer = client.post(STUDIES, content=body, headers={"Content-Type": RELATED})
        ready = client.get("/health/ready")
    kinds = {True: (507, "storage_full"), False: (503, "storage_unavailable")}
    assert (answer.status_code, answer.json()["code"]) == kinds[fault in FULL]
    assert int(answer.headers["retry-after"]) > 0
    assert str(tmp_path) not in answer.text
    assert ready.status_code == 503
    assert os.strerror(fault) in ready.json()["reason"]
    assert not spooled(settings)
    assert eventually(lambda: client.get("/health/ready").status_code == 200)
    assert post(client, [slice_file(0), slice_file(1)])[0] == 200
    assert len(spooled(settings)) == 2


def test_a_full_disk_from_end_to_end(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 24) as disk, started(tmp_path, disk / "state") as client:
        wait_until_ready(client)
        too_much = client.post(
            STUDIES, content=related([slice_file(0) + bytes(30 << 20)]), headers={"Content-Type": RELATED}
        )
        assert (too_much.status_code, too_much.json()["code"]) == (507, "storage_full")
        assert not list((disk / "state" / "spool" / "incoming").iterdir())
        filler = fill(disk)
        assert eventually(lambda: client.get("/health/ready").status_code == 503)
        full = client.post(STUDIES, content=related([slice_file(0)]), headers={"Content-Type": RELATED})
        assert (full.status_code, full.headers["retry-after"]) == (507, "60")
        assert client.get("/health/live").status_code == 200
        assert "lungscope_storage_writable 0.0" in client.get("/metrics").text
        filler.unlink()
        assert eventually(lambda: client.get("/health/ready").status_code == 200)
        assert post(client, [slice_file(0)])[0] == 200
        assert "lungscope_storage_writable 1.0" in client.get("/metrics").text


def test_a_start_on_a_disk_that_is_full_waits_for_room(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 24) as disk:
        with started(tmp_path, disk / "state"):
            pass
        filler = fill(disk)
        with started(tmp_path, disk / "state") as client:
            assert eventually(lambda: "MB are free" in client.get("/health/ready").text)
            filler.unlink()
            assert eventually(lambda: client.get("/health/ready").status_code == 200)
            assert post(client, [slice_file(0)])[0] == 200
            assert client.get(STUDIES).json() == []


@pytest.mark.parametrize("path", [STUDIES, f"{STUDIES}/1.2", f"{STUDIES}/1.2/metadata", "/metrics"])
def test_a_store_that_another_program_holds(
    client: TestClient, tmp_path: Path, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "FOREIGN_TIMEOUT_S", 0.0)
    with closing(sqlite3.connect(tmp_path / "state" / "results.sqlite3", isolation_level=None)) as foreign:
        foreign.execute("PRAGMA locking_mode = EXCLUSIVE")
        foreign.execute("BEGIN EXCLUSIVE")
        answer = client.get(path)
    if path == "/metrics":
        assert answer.status_code == 200
        return
    assert (answer.status_code, answer.json()["code"]) == (503, "storage_unavailable")
    assert answer.headers["retry-after"]
    assert eventually(lambda: client.get(STUDIES).status_code == 200)


def test_a_damaged_store_costs_one_answer(client: TestClient, tmp_path: Path) -> None:
    (tmp_path / "state" / "results.sqlite3").write_bytes(b"garbage" * 5000)
    assert eventually(lambda: client.get(STUDIES).status_code == 200)
    assert eventually(lambda: client.get("/health/ready").status_code == 200)
    # Its log and index go with it where they are, under the same mark.
    aside = [path.name for path in (tmp_path / "state").glob("*.damaged-*")]
    assert len({name.partition(".damaged-")[2] for name in aside}) == 1
