"""What the machine, or a container on it, lets this process have."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path


def usable_cores(root: Path = Path("/")) -> int:
    """Cores this process may keep busy: those it may be scheduled on, or fewer under a container's CPU quota.

    Half a core is not counted: a thread on it would be halted in every period. `root` is that of /proc and /sys.
    """
    scheduled = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([scheduled, *map(math.floor, cpu_quotas(root))]))


def own_cores() -> tuple[int, ...]:
    """The cores this process may be scheduled on; none where a quota keeps it from using all of them."""
    scheduled = tuple(sorted(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else ()
    return scheduled if usable_cores() == len(scheduled) else ()


def cpu_quotas(root: Path) -> Iterator[float]:
    """CPU quotas in cores, of this process's control group and of each above it: cgroup v2 cpu.max, v1 cpu.cfs_*."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        mount = root / "sys/fs/cgroup" / ("cpu" if controllers else "")
        # Seen from inside a container the group's own path may not exist: its files then lie at the mount itself.
        for group in (mount / path.lstrip("/"), *(mount / path.lstrip("/")).parents):
            limit = _text(group / "cpu.max") or _v1_limit(group)
            quota, _, period = limit.partition(" ")
            if quota.isdecimal() and period.strip().isdecimal():
                yield int(quota) / int(period)
            if group == mount:
                break


def _v1_limit(group: Path) -> str:
    return f"{_text(group / 'cpu.cfs_quota_us').strip()} {_text(group / 'cpu.cfs_period_us').strip()}"


def _text(path: Path) -> str:
    try:
        return path.read_text("ascii")
    except OSError:
        return ""
