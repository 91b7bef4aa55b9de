"""`lungscope serve | predict | batch | models | accept | sign | keys | audit | receipt | jobs | dimse | feedback`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module

from app.cli.exits import CANNOT_START, INTERRUPTED, OK, SOME_FAILED
from app.errors import StartupError

__all__ = ["CANNOT_START", "INTERRUPTED", "OK", "SOME_FAILED", "main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code: 0, 1 when some files failed, 2 when nothing could be started."""
    _open_closed_streams()
    try:
        code = _run(sys.argv[1:] if arguments is None else arguments)
        sys.stdout.flush()
    except StartupError as error:
        return _failed(str(error))
    except BrokenPipeError:  # whoever read our output has had enough (`| head`)
        _give_up_output()
        return SOME_FAILED
    # What the system refuses is not our fault: a folder that may not be read, no room left.
    except OSError as error:
        _give_up_output()
        named = f": {error.filename}" if error.filename else ""
        return _failed(f"{error.strerror or type(error).__name__}{named}")
    except KeyboardInterrupt:
        print("lungscope: stopped", file=sys.stderr)
        return INTERRUPTED
    return code


def _run(arguments: Sequence[str]) -> int:
    from app.cli.arguments import read_arguments
    from app.settings import Settings

    try:
        options = read_arguments(arguments)
    except SystemExit as end:
        return OK if end.code is None else int(end.code)
    # Each command imports its own: the parent of several workers needs little of it, and every worker starts here.
    code: int = import_module(f"app.cli.{options.command}").run(options, Settings.load())
    return code


def _open_closed_streams() -> None:
    """Write into nothing what nobody can read (`>&-`): else the next file opened would take the stream's number."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: PTH123, SIM115  # until the process ends


def _failed(why: str) -> int:
    print(f"lungscope: {why}", file=sys.stderr)
    return CANNOT_START


def _give_up_output() -> None:
    """Flush into nothing, at exit, what standard output does not take."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
