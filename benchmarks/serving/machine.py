"""Which machine, and how busy it was: absolute figures mean nothing without."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

from app.machine import usable_cores

PACKAGES: Final = ("openvino", "tensorflow-cpu", "fastapi", "uvicorn", "pydicom", "numpy")


def facts() -> dict[str, str]:
    """What the report names."""
    cpu = [line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    memory = next((line.split()[1] for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), "0")
    return {
        "measured": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": cpu[0] if cpu else platform.processor(),
        "cores": str(usable_cores()),
        "memory": f"{int(memory) / 2**20:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load before": f"{os.getloadavg()[0]:.2f}",
        **{name: version(name) for name in PACKAGES},
    }


class Stolen:
    """How much of the cores' time the host of a virtual machine gives to others, from now on (proc_stat(5))."""

    def __init__(self) -> None:
        self._before = _ticks()

    def fraction(self) -> float:
        """Of all cores' time until now, 0 where the system does not say."""
        stolen, total = (after - before for after, before in zip(_ticks(), self._before, strict=True))
        return stolen / total if total else 0.0


def _ticks() -> tuple[int, int]:
    """Stolen, and all; guests' time is in the user's already."""
    fields = next((line.split()[1:9] for line in _lines("/proc/stat") if line.startswith("cpu ")), ["0"] * 8)
    return int(fields[7]), sum(map(int, fields))


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
