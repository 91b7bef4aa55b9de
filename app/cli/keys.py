"""`lungscope keys new`: a key for a caller, shown once, and the line by which the service knows it."""

from __future__ import annotations

import argparse
import sys

from app.cli.exits import OK
from app.security.keys import new_key
from app.settings import Settings


def run(options: argparse.Namespace, _settings: Settings) -> int:
    """Print the line for LUNGSCOPE_KEYS_FILE, and the key beside it; returns the exit code, raises SettingsError.

    The line goes to standard output, so that `>> keys.txt` stores it and never the key.
    """
    key, line = new_key(options.name, options.scopes)
    print(f"the key of {options.name}, shown only now: {key}", file=sys.stderr)
    print("its line for LUNGSCOPE_KEYS_FILE:", file=sys.stderr, flush=True)
    print(line)
    return OK
