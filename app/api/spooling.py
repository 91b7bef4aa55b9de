"""The spool, the result store and what works on them, as the settings want them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from app.api.destinations import Route, routes_of, rules_of
from app.api.pulling import fetching_of
from app.api.rules import Rules
from app.delivery.database.storage import RESULTS, SPOOL, readable_count
from app.delivery.database.store import ResultStore
from app.delivery.fetching.pulling import PullWork
from app.delivery.inbox import Inbox
from app.delivery.judging import SpoolWork
from app.delivery.reconstructions import OnePerStudy
from app.delivery.spool.spool import Spool, SpoolLimits
from app.delivery.worker import Backoff, Delivery, DeliveryWork
from app.delivery.worklist.performing import Performing
from app.delivery.worklist.procedure_steps import Station
from app.delivery.worklist.worklist import Worklist
from app.inference.series_lane import SeriesLane
from app.judgement.judge import Judge
from app.judgement.records import Records
from app.judgement.spooled import SpooledJudge
from app.private_files import state_folder
from app.reports.report import ResultOptions
from app.reports.result import ObjectKind
from app.security.pseudonyms import load_key, pseudonym
from app.settings import MEGABYTE, Settings
from app.telemetry import Metrics


def delivery_of(
    folder: Path, settings: Settings, judge: Judge, lane: SeriesLane, metrics: Metrics, records: Records
) -> Delivery:
    """All of it, its work not begun; raises SettingsError for a folder or rules that cannot be used."""
    rules = rules_of(settings)
    routes = routes_of(settings, rules)
    state_folder(folder)
    spool = Spool(folder / SPOOL, SpoolLimits(*settings.spool_limits), metrics.quarantined.inc)
    store = ResultStore(folder / RESULTS, settings.database)
    _watch(spool, store, routes, metrics)
    judge_series = _judge_series(judge, routes, rules, settings, records)
    judging = SpoolWork(
        spool,
        store,
        lane,
        judge_series,
        _by_kind(routes),
        metrics,
        settings.result_hours,
        records.may_begin,
        judge_series.refused if settings.report_unprocessed else None,
        settings.results_mb * MEGABYTE,
        one_per_study=_one_per_study(spool, store, rules),
    )
    delivering = [
        DeliveryWork(
            store,
            route.destination,
            folder / f"{route.destination.name}.lock",
            Backoff(route.retry_s),
            metrics,
            records.may_begin,
            records.delivered,
            settings.delivered_hours,
        )
        for route in routes
    ]
    hashed = partial(pseudonym, load_key(folder))
    inbox = Inbox(spool, store, hashed, most_bytes=judging.most_bytes, keep_hours=judging.keep_hours)
    pull = _pull(folder, settings, inbox, metrics, records)
    return Delivery(spool, store, judging, delivering, hashed, pull, *_worklist(folder, settings, inbox, records))


def _pull(
    folder: Path, settings: Settings, inbox: Inbox, metrics: Metrics, records: Records
) -> Callable[[], bool] | None:
    """What fetches for jobs; None where there is no archive to fetch from."""
    if (fetch := fetching_of(settings, records)) is None:
        return None
    backoff = Backoff(settings.retry_seconds)
    return PullWork(inbox, fetch, folder / "fetching.lock", backoff, metrics, records.may_begin).step


def _worklist(
    folder: Path, settings: Settings, inbox: Inbox, records: Records
) -> tuple[Callable[[], bool] | None, Worklist | None]:
    """What performs workitems, and their list; None where there is no archive to fetch from."""
    if settings.pull_url is None:
        return None, None
    station, keep_hours = Station(settings.station), settings.result_hours
    performing = Performing(inbox, station, folder / "performing.lock", keep_hours, records.may_begin)
    return performing.step, Worklist(inbox, station, keep_hours)


def _judge_series(
    judge: Judge, routes: Sequence[Route], rules: Rules, settings: Settings, records: Records
) -> SpooledJudge:
    names = [route.destination.name for route in routes]
    judged = partial(records.judged_spooled, destinations=names)
    return SpooledJudge(judge, judged, [route.order for route in routes], rules.series, _options(settings, rules))


def _one_per_study(spool: Spool, store: ResultStore, rules: Rules) -> OnePerStudy | None:
    if rules.series is None or not rules.series.one_per_study:
        return None
    return OnePerStudy(spool, store, rules.series.rank)


def _options(settings: Settings, rules: Rules) -> ResultOptions:
    return ResultOptions(
        rules.results.pictures or settings.max_pictures,
        settings.fhir_patient_system,
        settings.fhir_accession_system,
        settings.fhir_pdf,
        rules.results.show_from,
    )


def _by_kind(routes: Sequence[Route]) -> dict[ObjectKind, list[str]]:
    """The names of the destinations that take each kind of objects."""
    named: dict[ObjectKind, list[str]] = {}
    for route in routes:
        named.setdefault(route.destination.kind, []).append(route.destination.name)
    return named


def _watch(spool: Spool, store: ResultStore, routes: Sequence[Route], metrics: Metrics) -> None:
    """Have the metrics say what waits, for what and refused by whom, and whether the disk takes what is written."""
    for name in (route.destination.name for route in routes):
        metrics.at_scrape(metrics.deliveries_waiting(name), readable_count(partial(store.waiting, name)))
        metrics.at_scrape(metrics.deliveries_refused(name), readable_count(partial(store.refused, name)))
    metrics.at_scrape(metrics.results_bytes, readable_count(store.size))
    metrics.at_scrape(metrics.spooled_waiting, readable_count(lambda: len(spool)))
    metrics.storage_writable.set(store.watch.trouble is None)
    store.watch.on_change = metrics.storage_writable.set
    store.watch.mend = spool.make_places
