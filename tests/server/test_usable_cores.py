"""How many cores the process may keep busy, by its scheduler and by its container's CPU quota."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from app.machine import own_cores, usable_cores
from app.settings import Settings


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(8)), raising=False)


def group(root: Path, lines: str, files: dict[str, str]) -> Path:
    for name, text in {"proc/self/cgroup": lines, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "ascii")
    return root


V1 = "11:memory:/docker/ab\n4:cpu,cpuacct:/docker/ab\n1:name=systemd:/docker/ab\n"


@pytest.mark.parametrize(
    ("lines", "files", "cores"),
    [
        pytest.param("0::/\n", {"sys/fs/cgroup/cpu.max": "200000 100000\n"}, 2, id="v2"),
        pytest.param("0::/\n", {"sys/fs/cgroup/cpu.max": "max 100000\n"}, 8, id="v2 without a quota"),
        pytest.param("0::/\n", {"sys/fs/cgroup/cpu.max": "350000 100000\n"}, 3, id="half a core is not counted"),
        pytest.param("0::/\n", {"sys/fs/cgroup/cpu.max": "20000 100000\n"}, 1, id="never less than one"),
        pytest.param("0::/\n", {"sys/fs/cgroup/cpu.max": "6400000 100000\n"}, 8, id="more than there are"),
        pytest.param(
            "0::/pod/service\n",
            {"sys/fs/cgroup/pod/service/cpu.max": "max 100000\n", "sys/fs/cgroup/pod/cpu.max": "300000 100000\n"},
            3,
            id="v2, the group above has the quota",
        ),
        pytest.param(
            "0::/pod/service\n",
            {"sys/fs/cgroup/pod/service/cpu.max": "200000 100000\n", "sys/fs/cgroup/pod/cpu.max": "300000 100000\n"},
            2,
            id="v2, the smallest quota counts",
        ),
        pytest.param(
            V1,
            {"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "400000\n", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n"},
            4,
            id="v1, seen from inside",
        ),
        pytest.param(
            V1,
            {
                "sys/fs/cgroup/cpu/docker/ab/cpu.cfs_quota_us": "50000\n",
                "sys/fs/cgroup/cpu/docker/ab/cpu.cfs_period_us": "25000\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            2,
            id="v1, seen from the host",
        ),
        pytest.param(
            V1,
            {"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n"},
            8,
            id="v1 without a quota",
        ),
        pytest.param("", {}, 8, id="no control groups"),
    ],
)
def test_quota_bounds_the_cores(tmp_path: Path, lines: str, files: dict[str, str], cores: int) -> None:
    assert usable_cores(group(tmp_path, lines, files)) == cores


def test_the_scheduler_bounds_the_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = group(tmp_path, "0::/\n", {"sys/fs/cgroup/cpu.max": "400000 100000\n"})
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {3, 5})
    assert usable_cores(root) == 2


def test_a_machine_without_proc_counts_its_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert usable_cores(tmp_path) == 6


def test_threads_follow_the_usable_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LUNGSCOPE_THREADS", raising=False)
    assert Settings().threads == usable_cores()


@pytest.mark.parametrize(
    ("usable", "cores"),
    [
        pytest.param(8, tuple(range(8)), id="no quota, or one of all"),
        pytest.param(2, (), id="a quota of some: which of them is the system's business"),
    ],
)
def test_cores_are_its_own_where_it_may_use_all_of_them(
    monkeypatch: pytest.MonkeyPatch, usable: int, cores: tuple[int, ...]
) -> None:
    monkeypatch.setattr("app.machine.usable_cores", lambda: usable)
    assert own_cores() == cores
