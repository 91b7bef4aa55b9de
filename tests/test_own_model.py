"""The tutorial from a table to a served model and back: its own commands, as they stand on the page."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

SHIPPED = max(int(path.name) for path in (REPOSITORY / "models" / "nodule-classifier").iterdir())
PAGE = REPOSITORY / "docs" / "own-model.md"
PATIENCE_S = 1140  # 78 s of processor time; on a machine that others use as well it has taken ten minutes
pytestmark = pytest.mark.timeout(1200)


def commands() -> str:
    """Every command of the page, in order."""
    return "\n".join(re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder that the page fills, and what it prints."""
    folder = tmp_path_factory.mktemp("own-model")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    given = os.environ | {"WORK": str(folder), "PORT": str(free_port()), "PATH": path, "PYTHONPATH": str(REPOSITORY)}
    process = subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", commands()],
        cwd=REPOSITORY,
        env=given,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        shown, _ = process.communicate(timeout=PATIENCE_S)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, shown[-3000:]
    return folder, shown


def test_the_new_version_is_served_and_then_the_old_one(walked: tuple[Path, str]) -> None:
    served = re.findall(r'"name": "nodule-classifier",\s+"version": "(\d+)"', walked[1])
    assert served == [str(SHIPPED + 2), str(SHIPPED)]


def test_lineage_leads_from_the_served_version_to_the_table(walked: tuple[Path, str]) -> None:
    folder, shown = walked
    record = json.loads((folder / "record-shipped" / "record.json").read_text("utf-8"))
    assert f"lineage: made from nodule-classifier/{SHIPPED} {record['inventory']['digest']}: logit'" in shown
    assert record["cases"]["data"] in shown
    assert f"not served, in the same folder: version {SHIPPED}" in shown


def test_two_steps_of_training_are_not_accepted(walked: tuple[Path, str]) -> None:
    assert "the trained network is not accepted" in walked[1]
    assert not (walked[0] / "models" / "nodule-classifier" / str(SHIPPED + 1)).exists()


def test_the_page_loads_signed_bundles_at_its_end(walked: tuple[Path, str]) -> None:
    assert walked[1].rstrip().splitlines()[-1].startswith("nodule-")
    assert len(list(walked[0].glob("models/*/*/manifest.json.sig"))) >= 3
