"""The tutorials as they stand on their pages, against a running service: commands, the client, and the notebook."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.serving.service import Service
from phantoms.series import SLICES
from tests.conftest import REPOSITORY
from tests.servers import OURS

DOCS = REPOSITORY / "docs"
NOTEBOOK = DOCS / "tutorials" / "data-scientist.ipynb"
OF_THE_PAGES = "http://127.0.0.1:8000"
PATIENCE_S = 500
CASES = 20


def blocks(page: str, language: str) -> list[str]:
    """The blocks of code of a page in one language."""
    text = (DOCS / page).read_text("utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def run(commands: str, folder: Path, **variables: str) -> str:
    """What the commands print, in a shell that stops at the first that fails."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    given = os.environ | {"PATH": path, "PYTHONPATH": str(REPOSITORY), **variables}
    command = ["bash", "-euo", "pipefail", "-c", commands]
    done = subprocess.run(
        command, cwd=folder, env=given, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return done.stdout


@OURS
def test_the_requests_of_the_pages_are_answered(service: Service, tmp_path: Path) -> None:
    for page in ("quickstart.md", "tutorials/integration.md"):
        asked = [block for block in blocks(page, "sh") if "$SERVICE" in block]
        assert len(asked) >= 2
        run("".join(asked), tmp_path, SERVICE=service.url(""))
    told = {name: json.loads((tmp_path / f"{name}.json").read_text("utf-8")) for name in ("answer", "slice", "series")}
    assert len(told["answer"]["findings"]) == len(told["slice"]["findings"]) == 1
    assert told["series"]["source"]["series"]["slices"] == SLICES
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")


@OURS
def test_the_client_of_the_quickstart_has_an_answer(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (block,) = blocks("quickstart.md", "python")
    for name in ("example-slice.dcm", "example-series.zip"):
        (tmp_path / name).write_bytes((REPOSITORY / "app" / "web" / name).read_bytes())
    (tmp_path / "refused.dcm").write_bytes(b"no image")
    monkeypatch.chdir(tmp_path)
    client: dict[str, Any] = {}
    exec(compile(block.replace(OF_THE_PAGES, service.url("")), "quickstart.md", "exec"), client)
    assert len(client["answer"]["findings"]) == 1
    assert client["judge"]("example-series.zip")["source"]["series"]["slices"] == SLICES
    with pytest.raises(RuntimeError, match="unsupported_media_type"):
        client["judge"]("refused.dcm")


@OURS
def test_every_cell_of_the_notebook_runs(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one namespace, as a kernel does; nothing of its output is committed."""
    notebook = json.loads(NOTEBOOK.read_text("utf-8"))
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell for cell in cells if cell["outputs"] or cell["execution_count"] is not None] == []
    monkeypatch.setenv("SERVICE", service.url(""))
    seen: dict[str, Any] = {}
    for n, cell in enumerate(cells, start=1):
        exec(compile("".join(cell["source"]), f"{NOTEBOOK.name}, cell {n}", "exec"), seen)
    assert len(seen["around"]) == 9
    assert seen["hu"].shape == (512, 512)
    assert all(0 <= value <= 1 for value in seen["outputs"]["malignancy"])


def test_twenty_cases_are_judged_and_set_beside_their_readings(tmp_path: Path) -> None:
    shown = run("".join(blocks("tutorials/researcher.md", "sh")), REPOSITORY, WORK=str(tmp_path))
    with (tmp_path / "answers.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == CASES
    assert [row["error_code"] for row in rows if row["error_code"]] == []
    counts = [int(count) for count in re.findall(r"^(?:suspicious|not) +\w+ +(\d+)$", shown, re.MULTILINE)]
    assert sum(counts) == CASES
    assert "suspicious called so" in shown
