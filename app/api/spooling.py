"""The spool, the result store and what works on them, as the settings want them."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from app.api.destinations import destinations_of
from app.delivery.judging import SpoolWork
from app.delivery.spool import Spool, SpoolLimits
from app.delivery.storage import readable_count
from app.delivery.store import ResultStore
from app.delivery.worker import Backoff, Delivery, DeliveryWork
from app.inference.series_lane import SeriesLane
from app.judgement.judge import Judge
from app.judgement.records import Records
from app.judgement.spooled import SpooledJudge
from app.private_files import state_folder
from app.settings import MEGABYTE, Settings
from app.telemetry import Metrics


def delivery_of(
    folder: Path, settings: Settings, judge: Judge, lane: SeriesLane, metrics: Metrics, records: Records
) -> Delivery:
    """All of it, its work not begun; raises SettingsError for a folder that cannot be used."""
    limits = SpoolLimits(
        settings.spool_mb * MEGABYTE,
        settings.spool_hours,
        settings.settle_seconds,
        settings.quiet_seconds,
        settings.late_hours,
    )
    state_folder(folder)
    spool = Spool(folder / "spool", limits, metrics.quarantined.inc)
    store = ResultStore(folder / "results.sqlite3")
    _watch(spool, store, metrics)
    destinations = destinations_of(settings)
    for each in destinations:
        metrics.at_scrape(metrics.deliveries_waiting(each.name), readable_count(partial(store.waiting, each.name)))
    judge_series = SpooledJudge(
        judge, partial(records.judged_spooled, destinations=[each.name for each in destinations])
    )
    judging = SpoolWork(
        spool,
        store,
        lane,
        judge_series,
        {each.kind: [each.name] for each in destinations},
        metrics,
        settings.result_hours,
        records.may_begin,
        judge_series.refused if settings.report_unprocessed else None,
        settings.results_mb * MEGABYTE,
    )
    delivering = [
        DeliveryWork(
            store,
            each,
            folder / f"{each.name}.lock",
            Backoff(settings.retry_seconds),
            metrics,
            records.may_begin,
            records.delivered,
            settings.delivered_hours,
        )
        for each in destinations
    ]
    return Delivery(spool, store, judging, delivering)


def _watch(spool: Spool, store: ResultStore, metrics: Metrics) -> None:
    """Have the metrics say how many series wait, and whether the disk takes what is written."""
    metrics.at_scrape(metrics.results_bytes, readable_count(store.size))
    metrics.at_scrape(metrics.spooled_waiting, readable_count(lambda: len(spool)))
    metrics.storage_writable.set(store.watch.trouble is None)
    store.watch.on_change = metrics.storage_writable.set
    store.watch.mend = spool.make_places
