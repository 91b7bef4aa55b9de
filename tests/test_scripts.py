"""What the scripts have in common."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

SCRIPTS = sorted((REPOSITORY / "scripts").glob("*.py"))
SLOW = ("tensorflow", "keras", "sklearn", "torch", "jax", "matplotlib")
# What is imported when the script ends by showing its help, of what takes seconds to import.
PROGRAM = f"""
import runpy, sys
script, sys.argv = sys.argv[1], [sys.argv[1], "--help"]
try:
    runpy.run_path(script, run_name="__main__")
except SystemExit as end:
    print("ended with", end.code)
print("imported", [name for name in {SLOW} if name in sys.modules])
"""


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_help_needs_nothing_that_is_slow_and_does_nothing(script: Path) -> None:
    shown = subprocess.run([sys.executable, "-c", PROGRAM, script], capture_output=True, text=True, check=True).stdout
    usage, *_, ended, imported = shown.splitlines()
    assert usage.startswith(f"usage: {script.name}")
    assert (ended, imported) == ("ended with 0", "imported []")
