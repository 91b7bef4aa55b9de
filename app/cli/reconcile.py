"""`lungscope jobs reconcile`: has fetched what came to the archive and has no result, as after an outage."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from app.cli.exits import OK, SOME_FAILED
from app.cli.service_folders import key_in
from app.delivery.database.store import ResultStore
from app.delivery.destinations.http_client import Access
from app.delivery.fetching.reconciling import Listed, Looked, Reconciliation
from app.delivery.fetching.source import DicomwebSource, NotFetched, SourceBounds
from app.delivery.spool.kept import HOUR_S
from app.delivery.spool.spool import Spool
from app.errors import SettingsError
from app.judgement.selection import SeriesRules, series_rules_in
from app.locks import held
from app.security.pseudonyms import pseudonym
from app.settings import MEGABYTE, Settings

LOCK: Final = "reconciling.lock"
QUIET: Final = ("known", "reported", "left_out")  # outcomes that need no line
Print = Callable[[Mapping[str, Any], argparse.Namespace], None]


def reconcile(
    folder: Path, spool: Spool, store: ResultStore, options: argparse.Namespace, settings: Settings, show: Print
) -> int:
    """Ask for what is missing, and show a line for each study that needs one; SOME_FAILED where one cannot be read.

    Raises SettingsError, also when the archive does not answer; what was asked for before stays so.
    """
    if options.since is None:
        raise SettingsError(found="no --since", expected="when it began", remedy="Give --since 2026-11-30T18:00.")
    key = key_in(folder)
    rules = None if settings.rules is None else series_rules_in(settings.rules)
    work = Reconciliation(
        _source(settings),
        spool,
        store,
        lambda listed: _takes(rules, listed),
        rules is not None and rules.one_per_study,
        settings.result_hours * HOUR_S,
    )
    counts: Counter[str] = Counter()
    with held(folder / LOCK):  # of two at once, both would ask
        for looked in _answered(work, options):
            counts[looked.outcome] += 1
            if options.all or looked.outcome not in QUIET:
                show(_told(looked, key), options)
    _sum_up(counts, options)
    return SOME_FAILED if counts["failed"] else OK


def _answered(work: Reconciliation, options: argparse.Namespace) -> Iterator[Looked]:
    until = options.until or datetime.now()  # of the machine, as StudyTime is of the modality
    try:
        yield from work.run(options.since, until, options.most, dry_run=options.dry_run)
    except NotFetched as error:
        raise SettingsError(
            found=f"an archive that cannot be asked ({error.code})",
            expected="one that answers at LUNGSCOPE_PULL_URL",
            remedy="Try again when it does: what is asked for already is passed over.",
        ) from None


def _source(settings: Settings) -> DicomwebSource:
    if settings.pull_url is None:
        raise SettingsError(
            found="no archive to look through", expected="LUNGSCOPE_PULL_URL", remedy="Set it as for the service."
        )
    token, password = settings.pull_token, settings.pull_password
    access = Access(
        str(settings.pull_url),
        token.get_secret_value() if token else None,
        settings.pull_user,
        password.get_secret_value() if password else None,
        settings.ca_file,
        settings.verify_tls,
    )
    return DicomwebSource(access, SourceBounds(settings.max_study_mb * MEGABYTE, settings.pull_seconds))


def _takes(rules: SeriesRules | None, listed: Listed) -> bool:
    return rules is None or rules.may_take(listed.body_part, listed.description)


def _told(looked: Looked, key: bytes) -> dict[str, Any]:
    """The study by its hash, as in the logs."""
    told = {"study": pseudonym(key, "study", looked.study_uid), "outcome": looked.outcome}
    more = {"series": len(looked.series), "job": looked.job, "code": looked.code}
    return told | {name: value for name, value in more.items() if value}


def _sum_up(counts: Counter[str], options: argparse.Namespace) -> None:
    said = (
        ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()))
        or "no study with CT was begun in that time"
    )
    print(f"lungscope: reconcile: {said}", file=sys.stderr)
    if counts["asked"] + counts["missing"] == options.most:
        print("lungscope: there may be more: run it again when these are fetched, or raise --most", file=sys.stderr)
