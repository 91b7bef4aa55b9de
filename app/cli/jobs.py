"""`lungscope jobs`: what waits in a service's folder, and what an operator does about it, while the service runs."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from app.cli.exits import OK, SOME_FAILED
from app.cli.reconcile import reconcile
from app.cli.service_folders import key_in, service_folder, usable_database
from app.delivery.database.storage import RESULTS, SPOOL
from app.delivery.database.store import GIVEN_UP, ResultStore
from app.delivery.jobs import Found, Job, Jobs
from app.delivery.spool.kept import HOUR_S
from app.delivery.spool.spool import Spool, SpoolLimits
from app.errors import InputError, SettingsError
from app.imaging.header import Header, read_header
from app.imaging.read import quiet_decoders
from app.security.pseudonyms import pseudonym
from app.settings import Settings


def run(options: argparse.Namespace, settings: Settings) -> int:
    """Do what is asked; returns OK, or SOME_FAILED where an ID is unknown or nothing is found. Raises SettingsError."""
    kept = RESULTS if settings.database is None else SPOOL
    folder = service_folder(options.folder or settings.spool_dir, kept, "LUNGSCOPE_SPOOL_DIR", "jobs")
    quiet_decoders()
    with usable_database(folder / RESULTS):
        spool = Spool(folder / SPOOL, SpoolLimits(*settings.spool_limits))
        store = ResultStore(folder / RESULTS, settings.database)
        if options.action == "reconcile":
            return reconcile(folder, spool, store, options, settings, _print)
        jobs = Jobs(spool, store, _series_uid_in, settings.result_hours * HOUR_S)
        if options.action == "list":
            return _list(jobs, options)
        return _find(jobs, folder, options) if options.action == "find" else _change(jobs, options)


def _series_uid_in(folder: Path) -> str | None:
    for path in sorted(folder.iterdir()):
        try:
            with path.open("rb") as stream:
                return Header(read_header(stream)).text("SeriesInstanceUID")
        except (InputError, OSError):
            continue
    return None


def _list(jobs: Jobs, options: argparse.Namespace) -> int:
    of_destination = [job for job in jobs.all() if options.destination in (None, job.destination)]
    shown = [job for job in of_destination if options.all or job.state != GIVEN_UP]
    for job in shown:
        _print(_told(job), options)
    if not shown:
        print("lungscope: list: nothing waits", file=sys.stderr)
    return OK


def _change(jobs: Jobs, options: argparse.Namespace) -> int:
    ids = [*options.ids, *_owed_to(jobs, options)]
    if not (ids or options.destination):
        raise SettingsError(
            found=f"nothing to {options.action}", expected="IDs, or --destination", remedy="See lungscope jobs list."
        )
    change: Callable[..., bool] = jobs.retry if options.action == "retry" else jobs.drop
    unknown = [job for job in ids if not change(job, now=time.time())]
    for job in unknown:
        print(f"lungscope: nothing to {options.action}: {job}", file=sys.stderr)
    print(f"lungscope: {options.action}: {len(ids) - len(unknown)} of {len(ids)}", file=sys.stderr)
    return SOME_FAILED if unknown else OK


def _owed_to(jobs: Jobs, options: argparse.Namespace) -> Iterator[str]:
    """All that a destination is owed, or refused; what was given up only if it is named."""
    if options.destination is None:
        return
    for job in jobs.all():
        if job.destination == options.destination and job.state != GIVEN_UP:
            yield job.id


def _find(jobs: Jobs, folder: Path, options: argparse.Namespace) -> int:
    named = {kind: value for kind in ("accession", "study") if (value := getattr(options, kind))}
    if len(named) != 1:
        raise SettingsError(
            found="no case to find, or two", expected="--accession or --study", remedy="See lungscope jobs --help."
        )
    ((kind, value),) = named.items()
    hashed = pseudonym(key_in(folder), kind, value)
    found = jobs.find(hashed)
    print(f"lungscope: {kind} {hashed} in the logs; {len(found)} series", file=sys.stderr)
    for each in found:
        _print(_told_found(each), options)
    return OK if found else SOME_FAILED


def _told(job: Job) -> dict[str, Any]:
    due = None if job.due_at is None else f"{datetime.fromtimestamp(job.due_at, UTC):%Y-%m-%dT%H:%M:%SZ}"
    return {name: value for name, value in {**asdict(job), "due_at": due}.items() if value is not None}


def _told_found(found: Found) -> dict[str, Any]:
    told: dict[str, Any] = {"series": found.case.name, **found.case.fields()}
    if (status := found.status) is not None:
        told |= {"state": status.state, "code": status.code or None}
        told |= {"waiting": dict(status.waiting), "refused_by": [*status.refused_by]}
    return {name: value for name, value in told.items() if value is not None}


def _print(told: Mapping[str, Any], options: argparse.Namespace) -> None:
    if options.json:
        print(json.dumps(told))
    else:
        print("  ".join(f"{name}={value}" for name, value in told.items()))
