"""What `lungscope predict --out DIR` writes: a table of all findings, and a folder with pictures and reports a case."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Final, Self, TextIO

from app.cli.results import ESCAPED, Outcome, printable
from app.errors import StartupError
from app.explain.figures import series_hash
from app.judgement.finding_rows import COLUMNS

TABLE: Final = "findings.csv"
HEAD: Final = ("case", "path", "error_code", *COLUMNS)


class CaseFolder:
    """A folder that is new or empty. Each case is written at once: nothing is lost when the rest is not judged."""

    def __init__(self, folder: Path) -> None:
        """Make it and begin its table; raises StartupError where that cannot be, or something is in it."""
        self._folder, self._number = folder, 0
        self.name = printable(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if any(folder.iterdir()):
                raise StartupError(
                    found=f"{self.name} with something in it",
                    expected="a new or an empty folder, so that the cases of two runs are not mixed",
                    remedy="Give another --out.",
                )
            self._table: TextIO = (folder / TABLE).open("w", newline="", encoding="utf-8", errors=ESCAPED)
        except OSError as error:
            raise StartupError(
                found=f"no way to write {self.name} ({error.strerror})",
                expected="a folder that may be made and written",
                remedy="Give another --out.",
            ) from None
        self._rows = csv.DictWriter(self._table, HEAD)
        self._rows.writeheader()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._table.close()

    def write(self, outcome: Outcome) -> None:
        """Write one case, or that it could not be judged; raises OSError."""
        self._number += 1
        case = "-".join(filter(None, (f"{self._number:04d}", _told(outcome))))
        if outcome.files:
            own = self._folder / case
            own.mkdir()
            for name, content in outcome.files.items():
                (own / name).write_bytes(content)
        for row in outcome.rows or [{}]:
            self._rows.writerow({"case": case, "path": outcome.path, "error_code": outcome.error_code, **row})
        self._table.flush()


def _told(outcome: Outcome) -> str | None:
    """By what a series is known on its pictures."""
    source = None if outcome.answer is None else outcome.answer["source"]
    return series_hash(source["series"]["series_instance_uid"]) if source is not None and "series" in source else None
