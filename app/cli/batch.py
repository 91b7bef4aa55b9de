"""`lungscope batch`: every series of an archive into tables, on all cores, going on where it was stopped."""

from __future__ import annotations

import argparse
import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from app import __version__
from app.batch.index import Index
from app.batch.names import Names
from app.cell.cells import CellLimits, decoder_of
from app.cli.exits import OK, SOME_FAILED
from app.cli.models import verified_registry
from app.cli.results import printable
from app.errors import StartupError
from app.imaging.read import quiet_decoders, spare_threads
from app.inference.registry import ModelRegistry
from app.judgement.judge import Judge
from app.locks import held_if_free
from app.private_files import PRIVATE, private_folder
from app.security.pseudonyms import load_key
from app.server.worker_process import leave_no_core
from app.settings import MEGABYTE, Settings
from app.telemetry import Metrics

STATE: Final = "state"  # the folder of index and key


def run(options: argparse.Namespace, settings: Settings) -> int:
    """Judge the archive that the options name; returns the exit code, and raises StartupError."""
    _require_pyarrow()
    registry = verified_registry(settings)
    out = Path(os.path.abspath(options.out))  # noqa: PTH100  # Path.resolve would follow the operator's links
    state = out / STATE
    try:
        out.mkdir(PRIVATE, parents=True, exist_ok=True)
        private_folder(state)
        with held_if_free(state / "lock") as is_free:
            if not is_free:
                raise _in_use(out)
            return _run(options, settings, registry, out, state)
    except (OSError, sqlite3.Error) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise StartupError(
            found=f"{printable(out)}, or the archive, which cannot be used: {why}",
            expected="an archive that may be read, and a folder of this user's with room",
            remedy="What was judged is kept: the same command goes on.",
        ) from None


def _run(options: argparse.Namespace, settings: Settings, registry: ModelRegistry, out: Path, state: Path) -> int:
    from app.batch.batch import Plan, run_batch  # imports pyarrow

    quiet_decoders()
    # How many threads a runtime has may change the last digit of an answer; and there is a worker for each core.
    if "threads" not in settings.model_fields_set:
        settings = settings.model_copy(update={"threads": 1})
    key = None if options.identifiers == "plain" else load_key(settings.audit_dir or state)
    source = Path(os.path.abspath(options.source))  # noqa: PTH100
    facts = {"identifiers": options.identifiers, **_facts(settings, registry)}
    plan = Plan(source, out, options.workers, Names(key), facts)
    with Index(state / "index.sqlite") as index:
        run_batch(plan, index, partial(loaded_judge, settings))
        return _told(index)


@contextmanager
def loaded_judge(settings: Settings) -> Iterator[Judge]:
    """A judge as that of `lungscope predict`, its models loaded, for a process of its own."""
    leave_no_core()
    quiet_decoders()
    spare_threads()
    limits = CellLimits(settings.decoder_mb * MEGABYTE, settings.decoder_seconds, idle=1)
    with decoder_of(settings.decoding, limits) as decoder:
        decoder.launch()
        registry = verified_registry(settings)
        registry.load()
        yield Judge(registry, Metrics(), settings.max_slices, decoder=decoder)


def _facts(settings: Settings, registry: ModelRegistry) -> dict[str, str]:
    """What an answer depends on."""
    models = [bundle.digest for bundle in (*registry.bundles, registry.view_bundle)]
    return {
        "version": __version__,
        "models": " ".join(models),
        "backend": settings.backend,
        "threads": str(settings.threads),
        "operating point": str(registry.threshold),
        "most slices": str(settings.max_slices),
    }


def _told(index: Index) -> int:
    counts = index.counts()
    judged = counts.pop("", 0)
    print(f"lungscope: {judged} series judged; {index.left_out} file(s) are no CT and were left out", file=sys.stderr)
    for code, count in sorted(counts.items(), key=str):
        print(f"lungscope: {count} failed: {code}", file=sys.stderr)
    return SOME_FAILED if counts else OK


def _require_pyarrow() -> None:
    if find_spec("pyarrow") is None:
        raise StartupError(
            found="no pyarrow, which writes the tables",
            expected="the extra `batch`",
            remedy="Install it: pip install 'lungscope[batch]'.",
        )


def _in_use(out: Path) -> StartupError:
    return StartupError(
        found=f"another batch at work in {printable(out)}",
        expected="one at a time in a folder",
        remedy="Wait for it, or give another --out.",
    )
