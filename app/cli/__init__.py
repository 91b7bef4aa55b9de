"""`lungscope serve | predict | models`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from app import __version__
from app.cli.exits import CANNOT_START, INTERRUPTED, OK, SOME_FAILED
from app.errors import StartupError
from app.settings import Settings, usable_cores

__all__ = ["CANNOT_START", "INTERRUPTED", "OK", "SOME_FAILED", "main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code: 0, 1 when some files failed, 2 when nothing could be started."""
    options = _parser().parse_args(arguments)
    try:
        # Each command imports its own: the parent of several workers needs little of it, and every worker starts here.
        code: int = import_module(f"app.cli.{options.command}").run(options, Settings.load())
    except StartupError as error:
        print(f"lungscope: {error}", file=sys.stderr)
        return CANNOT_START
    except BrokenPipeError:
        # Whoever read our output has had enough (`| head`); nothing may be flushed into the closed pipe at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return SOME_FAILED
    except KeyboardInterrupt:
        print("lungscope: stopped", file=sys.stderr)
        return INTERRUPTED
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lungscope", description="Research use only. Not a medical device.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")

    serve = commands.add_parser("serve", help="answer over HTTP")
    serve.add_argument("--host", default="127.0.0.1")
    serve.add_argument("--port", type=int, default=8000)
    serve.add_argument(
        "--workers", type=_count, default=usable_cores(), metavar="N", help="processes; default: one per usable core"
    )

    predict = commands.add_parser("predict", help="judge slices and series")
    predict.add_argument(
        "paths", nargs="+", type=Path, metavar="PATH", help="a CT slice, a zip of a series, or a folder of either"
    )
    predict.add_argument("--slices", action="store_true", help="judge every file of a folder alone, series or not")
    predict.add_argument("--roi", metavar="COLUMN,ROW", help="judge the nodule there, in pixels of the image")
    predict.add_argument("--pixel-spacing-mm", metavar="MM", help="for images that do not state it")
    predict.add_argument("--window", metavar="CENTER,WIDTH", help="HU window of an 8- or 16-bit picture")
    predict.add_argument("--frame", metavar="N", help="frame of a multi-frame image, from 1")
    predict.add_argument("--explain", metavar="BOOL", help="true adds the evidence map to --json")
    predict.add_argument("--language", choices=("en", "zh"), default="en", help="of the words shown")
    output = predict.add_mutually_exclusive_group()
    output.add_argument(
        "--json", action="store_true", help="one JSON object a file or series, one a line, on standard output"
    )
    output.add_argument("--csv", type=Path, metavar="FILE", help="write a table to FILE")

    commands.add_parser("models", help="verify and describe the bundles")
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return int(text)
