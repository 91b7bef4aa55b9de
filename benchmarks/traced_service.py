"""`lungscope` with the arguments given, and a list of what it imported: `python traced_service.py LIST ARGUMENT ...`

Run by the interpreter of an install that holds nothing of this repository but the package. LIST gets the files imported
until the first SIGUSR1 and until the end, as JSON.
"""

from __future__ import annotations

import json
import signal
import sys
from importlib.metadata import entry_points
from pathlib import Path


def imported() -> list[str]:
    """Files of every module there is now."""
    # A module may replace itself by an object that answers as it likes: the list itself must not import more.
    files = (vars(module).get("__file__") for module in list(sys.modules.values()) if hasattr(module, "__dict__"))
    return sorted(file for file in files if isinstance(file, str))


def main() -> int:
    """Serve until told to stop; returns the service's exit code."""
    path = Path(sys.argv[1])
    lists: dict[str, list[str]] = {"start": []}

    def take_stock(*_: object) -> None:
        lists["start"] = imported()

    signal.signal(signal.SIGUSR1, take_stock)
    (lungscope,) = entry_points(group="console_scripts", name="lungscope")
    code: int = lungscope.load()(sys.argv[2:])
    path.write_text(json.dumps(lists | {"end": imported()}), encoding="utf-8")
    return code


if __name__ == "__main__":
    sys.exit(main())
