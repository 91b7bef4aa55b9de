"""What the command line writes of each file or series: a line of text, a line of JSON, a row of a table."""

from __future__ import annotations

import csv
import io
import json
import os
import stat
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self, TextIO

from tqdm import tqdm

from app.errors import StartupError
from app.errors.description import described
from app.judgement.answer_types import Answer

STANDARD_OUTPUT: Final = Path("-")
ESCAPED: Final = "backslashreplace"
CSV_COLUMNS: Final = (
    "path",
    "decision",
    "probability",
    "findings",
    "reasons",
    "quality",
    "error_code",
    "error",
    "slices",
    "series_instance_uid",
    "warnings",
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One file or series: its answer, or the code and text of its error; and the files and rows of `--out`."""

    path: Path
    answer: Answer | None = None
    error_code: str = ""
    error: str = ""
    files: Mapping[str, bytes] = field(default_factory=dict)
    rows: Sequence[Mapping[str, object]] = ()

    @classmethod
    def of_error(cls, path: Path, error: Exception) -> Self:
        """Of what could not be judged."""
        code, text = described(error)
        return cls(path, error_code=code, error=text)


def printable(path: Path) -> str:
    """A path on one line: with escapes for line ends, controls of a terminal and bytes that are no UTF-8."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in str(path))


class Output:
    """Where outcomes go, in one format: lines of text or of JSON, or the rows of a table."""

    def __init__(self, table: Path | None, *, as_json: bool) -> None:
        """Open it, and leave what it holds; raises StartupError where it cannot be written."""
        self.file = None if table in (None, STANDARD_OUTPUT) else table
        self._write = _row if table is not None else _json_line if as_json else _text_line
        self._stream: TextIO = sys.stdout if self.file is None else _opened(self.file)
        self.name = "standard output" if self.file is None else printable(self.file)
        if self.file is None and isinstance(self._stream, io.TextIOWrapper):
            # Bytes of file names that are no UTF-8 become escapes, which JSON knows too.
            self._stream.reconfigure(encoding=None if self._write is _text_line else "utf-8", errors=ESCAPED)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        if self.file is not None:
            self._stream.close()

    def is_table(self) -> bool:
        """Whether the file is new or an earlier table, not an image that lies where results are to go."""
        if self.file is None or not self.file.is_file():
            return True
        with self.file.open("rb") as stream:
            return stream.read(len(CSV_COLUMNS[0])) in (b"", CSV_COLUMNS[0].encode())

    def begin(self) -> None:
        """Replace what it holds; raises StartupError where not even that can be written."""
        try:
            if self.file is not None and stat.S_ISREG(os.fstat(self._stream.fileno()).st_mode):
                self._stream.truncate(0)
            if self._write is _row:
                self._put(_csv_line(dict(zip(CSV_COLUMNS, CSV_COLUMNS, strict=True))))
        except BrokenPipeError:
            raise
        except OSError as error:
            raise _unwritable(self.name, error) from None

    def write(self, outcome: Outcome) -> None:
        """Write one, at once: nothing is lost when the rest is not judged. Raises OSError."""
        self._put(self._write(outcome))

    def _put(self, line: str) -> None:
        tqdm.write(line, file=self._stream, end="")
        self._stream.flush()


def _opened(path: Path) -> TextIO:
    try:
        return path.open("a", newline="", encoding="utf-8", errors=ESCAPED)
    except OSError as error:
        raise _unwritable(printable(path), error) from None


def _unwritable(name: str, error: OSError) -> StartupError:
    return StartupError(
        found=f"no way to write {name} ({error.strerror})",
        expected="a file in a folder that exists, may be written and has room",
        remedy="Name another for the results.",
    )


def _json_line(outcome: Outcome) -> str:
    result: dict[str, object] = {"path": str(outcome.path)}
    if outcome.answer is None:
        result["error"] = {"code": outcome.error_code, "detail": outcome.error}
    else:
        result |= outcome.answer
    return json.dumps(result, ensure_ascii=False) + "\n"


def _row(outcome: Outcome) -> str:
    row: dict[str, object] = {"path": outcome.path, "error_code": outcome.error_code, "error": outcome.error}
    answer = outcome.answer
    if answer is not None:
        row |= {"decision": answer["decision"], "probability": answer["probability"]}
        row |= {"findings": len(answer["findings"]), "reasons": ";".join(answer["reasons"])}
        row |= {"quality": ";".join(note["code"] for note in answer["quality"])}
        row |= {"warnings": ";".join(_warnings(answer))}
        if "series" in answer["source"]:
            series = answer["source"]["series"]
            row |= {"slices": series["slices"], "series_instance_uid": series["series_instance_uid"]}
    return _csv_line(row)


def _csv_line(row: dict[str, object]) -> str:
    line = io.StringIO()
    csv.DictWriter(line, CSV_COLUMNS).writerow(row)
    return line.getvalue()


def _text_line(outcome: Outcome) -> str:
    """Empty for an error, which standard error names."""
    answer = outcome.answer
    if answer is None:
        return ""
    probability = "" if answer["probability"] is None else f" (probability {answer['probability']:.3f})"
    details = [f"{len(answer['findings'])} finding(s)", *answer["reasons"]]
    series = answer["source"].get("series")
    what = printable(outcome.path) + ("" if series is None else f" ({series['slices']} slices)")
    warned = [code for code in _warnings(answer) if code not in answer["reasons"]]
    warnings = f"; warnings: {', '.join(warned)}" if warned else ""
    return f"{what}: {answer['display']}{probability}; {', '.join(details)}{warnings}\n"


def _warnings(answer: Answer) -> list[str]:
    """Codes of the remarks that are more than information, each once."""
    return list(dict.fromkeys(note["code"] for note in answer["quality"] if note["severity"] != "info"))
