"""What the machine, or a container on it, lets this process have."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path


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
