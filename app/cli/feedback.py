"""`lungscope feedback`: verdicts with what was answered, for a registry or a table; and a new reference for drift."""

from __future__ import annotations

import argparse
import csv
import json
import os
import sqlite3
import sys
import time
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

from app.cli.exits import OK
from app.errors import SettingsError
from app.inference.bundle import MANIFEST_FILE
from app.settings import Settings
from app.watch.export import COLUMNS, DAY_S, Row, rows_of
from app.watch.ledger import FEEDBACK, Ledger


def run(options: argparse.Namespace, settings: Settings) -> int:
    """Do what is asked; returns OK. Raises SettingsError for a folder that is not a service's, or not to be used."""
    folder = _folder(options.folder or settings.feedback_dir)
    try:
        ledger = Ledger(folder / FEEDBACK)
        if options.action == "reference":
            ledger.begin_reference(day=int(time.time() // DAY_S))
            print("lungscope: a new reference begins with today", file=sys.stderr)
            return OK
        _write(rows_of(ledger.cases(), _models(settings.models_dir)), options.format)
    except sqlite3.Error as error:
        raise SettingsError(
            found=f"{folder / FEEDBACK}, which cannot be used now: {error}",
            expected="the database of a service",
            remedy="Try again; the service's log says more.",
        ) from None
    return OK


def _folder(folder: Path | None) -> Path:
    if folder is None or not (folder / FEEDBACK).is_file():
        raise SettingsError(
            found="no folder of verdicts",
            expected="the one in which a service keeps them",
            remedy="Give --folder, or set LUNGSCOPE_FEEDBACK_DIR as for the service.",
        )
    # SQLite makes files beside the database; those of another user would lock the service out.
    if folder.stat().st_uid != os.geteuid():
        raise SettingsError(
            found=f"{folder}, which belongs to another user",
            expected="the user that the service runs as",
            remedy="Run this as that user: sudo -u USER lungscope feedback ...",
        )
    return folder


def _models(folder: Path) -> dict[str, tuple[str, str]]:
    """Names and versions of the bundles in a folder, by their digests."""
    paths = folder.glob(f"*/*/{MANIFEST_FILE}")
    return {f"sha256:{sha256(p.read_bytes()).hexdigest()}": (p.parent.parent.name, p.parent.name) for p in paths}


def _write(rows: Iterable[Row], form: str) -> None:
    if form == "jsonl":
        for row in rows:
            print(json.dumps(row))
        return
    table = csv.DictWriter(sys.stdout, COLUMNS, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
