"""`lungscope feedback`: verdicts with what was answered, for a registry or a table; and a new reference for drift."""

from __future__ import annotations

import argparse
import csv
import json
import sys
import time
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

from app.cli.exits import OK
from app.cli.service_folders import service_folder, usable_database
from app.inference.bundle import MANIFEST_FILE
from app.security.pseudonyms import KEY_FILE
from app.settings import Settings
from app.watch.export import COLUMNS, DAY_S, Row, rows_of
from app.watch.ledger import FEEDBACK, Ledger


def run(options: argparse.Namespace, settings: Settings) -> int:
    """Do what is asked; returns OK. Raises SettingsError for a folder that is not a service's, or not to be used."""
    kept = FEEDBACK if settings.database is None else KEY_FILE
    folder = service_folder(options.folder or settings.feedback_dir, kept, "LUNGSCOPE_FEEDBACK_DIR", "feedback")
    with usable_database(folder / FEEDBACK):
        ledger = Ledger(folder / FEEDBACK, settings.database)
        if options.action == "reference":
            ledger.begin_reference(day=int(time.time() // DAY_S))
            print("lungscope: a new reference begins with today", file=sys.stderr)
            return OK
        _write(rows_of(ledger.cases(), _models(settings.models_dir)), options.format)
    return OK


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
