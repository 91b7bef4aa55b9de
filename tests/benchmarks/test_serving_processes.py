"""What is kept of a server that did not start."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.serving.processes import LOG_TAIL, NotStarted, Server, without_folders

PATH = "/var/folders/someone/x1/model.py"
PATIENCE_S = 60


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (f'File "{PATH}", line 425, in initialize', 'File "model.py", line 425, in initialize'),
        (f"At:\n  {PATH}(454): initialize", "At:\n  model.py(454): initialize"),
        (f"--log={PATH}:12: [{PATH}]", "--log=model.py:12: [model.py]"),
        (f"env: ‘{PATH}’: No such file", "env: ‘model.py’: No such file"),
        ("PATH=/usr/local/bin:/usr/bin/", "PATH=bin:bin"),
        (f"file://{PATH} and ipc://{PATH}.", "file:model.py and ipc:model.py."),
        (
            "http://127.0.0.1:8000/health/ready, http://localhost/a/b",
            "http://127.0.0.1:8000/health/ready, http://localhost/a/b",
        ),
        ("build/peers/ray, ../ray, and/or, 1 / 2", "build/peers/ray, ../ray, and/or, 1 / 2"),
    ],
)
def test_absolute_paths_lose_their_folders(said: str, kept: str) -> None:
    assert without_folders(said) == kept


@pytest.mark.parametrize("after", [0, LOG_TAIL - len(PATH) // 2])
def test_what_a_server_said_before_it_ended_names_no_folder(tmp_path: Path, after: int) -> None:
    command = [sys.executable, "-c", f"print('cannot read {PATH}', end={' ' * after!r})"]
    with Server(command, 1, tmp_path / "server.log") as server, pytest.raises(NotStarted) as refusal:
        server.wait_for("/", PATIENCE_S)
    assert str(refusal.value).endswith("read model.py" + " " * after)
    assert "someone" not in str(refusal.value)
