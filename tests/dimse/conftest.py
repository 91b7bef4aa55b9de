"""The DIMSE door in this process, over a spool that nobody judges."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from ssl import SSLContext
from typing import Any, Final

import pytest

from app.audit.trail import AuditTrail
from app.delivery.database.store import ResultStore
from app.delivery.inbox import Inbox
from app.delivery.spool.spool import Spool, SpoolLimits
from app.dimse.desk import Bounds, Desk
from app.dimse.server import DimseDoor
from app.telemetry import DimseMetrics
from benchmarks.serving.service import eventually
from phantoms.series import slice_file
from phantoms.slices import derived_uid
from tests.dimse.caller import dataset_of

BOUNDS: Final = Bounds(associations=4, request_s=30, idle_s=30, patience_s=30, least_rate=1024, instance_bytes=64 << 20)
SETTLE_S, QUIET_S = 3.0, 30.0
SLICE: Final = dataset_of(slice_file(0))
UID_0: Final = derived_uid("slice 0")


class Site:
    """The door and what it fills."""

    def __init__(
        self,
        folder: Path,
        *,
        max_bytes: int = 1 << 30,
        trail: AuditTrail | None = None,
        tls: SSLContext | None = None,
        **bounds: Any,
    ) -> None:
        self.spool = Spool(folder / "spool", SpoolLimits(max_bytes, 24, SETTLE_S, QUIET_S))
        self.store = ResultStore(folder / "results.sqlite3")
        self.metrics = DimseMetrics()
        inbox = Inbox(self.spool, self.store, lambda _kind, value: value[-4:], most_bytes=1 << 30, keep_hours=24)
        desk = Desk(inbox, self.metrics, replace(BOUNDS, **bounds), trail)
        self.door = DimseDoor(("127.0.0.1", 0), "LUNGSCOPE", {"CT01", "PACS"}, desk, tls)
        self.port = self.door.port

    def instances(self) -> list[Path]:
        """Those that are stored."""
        return [path for path in self.spool.series.glob("*/*") if not path.name.startswith(".")]

    def leftovers(self) -> list[Path]:
        """What lies where instances are received."""
        return list((self.spool.series.parent / "incoming").iterdir())

    def counted(self, what: str, outcome: str) -> bool:
        """Waits until that has been counted once: an association ends in its own thread."""
        name = f"lungscope_dimse_{what}_total"
        return eventually(lambda: self.metrics.registry.get_sample_value(name, {"outcome": outcome}) == 1)


@contextmanager
def opened(folder: Path, **given: Any) -> Iterator[Site]:
    """A site within the block."""
    site = Site(folder, **given)
    with site.door.opened(0):
        yield site


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with opened(tmp_path) as site:
        yield site
