"""The record of a local acceptance test: what was tested by which digests, what was found, and when to test again.

Its parts are those of the ACR-SIIM Practice Parameter for Imaging Artificial Intelligence (2026): inventory, local
acceptance, monitoring with stop rules. It holds no image and names no patient.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from html import escape
from pathlib import Path
from typing import Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict

from app.inference.bundle import Bundle, TrainingData
from app.inference.lineage import Lineage
from training.evaluation.acceptance import Acceptance, Check, StopRule
from training.evaluation.subgroups import MIN_OF_CLASS, Subgroup
from training.reporting import html

RECORD_FILE: Final = "record.json"
PAGE_FILE: Final = "record.html"
AGAIN_AFTER: Final = timedelta(days=182)  # half a year: a scanner's service interval, and what a review board meets at
AGAIN_WHEN: Final = (
    "before another version of this bundle, or another bundle, is served (its digest differs from the one above)",
    "after a new scanner, reconstruction kernel, slice thickness or dose protocol, or a software update of a scanner",
    "after a change of who is scanned (screening in place of referrals, another hospital's patients)",
    "after a change of LUNGSCOPE_OPERATING_POINT or of the runtime named above",
    "when a stop rule below is met: stop using the answers first, then test",
)
SHOWN: Final = ("auc", "auc_diameter_alone", "sensitivity", "specificity", "coverage_suspicious", "coverage_benign")


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Inventory(_Frozen):
    """Which bundle it is, as the service would say it."""

    name: str
    version: int
    digest: str
    intended_use: str
    training_data: tuple[TrainingData, ...]
    lineage: Lineage | None
    software: str
    runtime: str
    operating_point: float
    operating_point_of: Literal["bundle", "site"]


class Cases(_Frozen):
    """By what it was tested. `table` is the sha256 of the file, `data` the digest of all that was read by it."""

    table: str
    data: str
    nodules: int
    patients: int
    suspicious: int
    benign: int
    indeterminate: int
    warnings: tuple[str, ...]


class Recalibrated(_Frozen):
    """The version that was made with the site's own calibration."""

    version: int
    digest: str
    change: str


class Record(_Frozen):
    """`record.json`."""

    kind: Literal["lungscope-acceptance/1"] = "lungscope-acceptance/1"
    created: AwareDatetime
    tested_by: str | None
    inventory: Inventory
    cases: Cases
    acceptance: Acceptance
    subgroups: tuple[Subgroup, ...]
    recalibrated: Recalibrated | None
    test_again_by: date
    test_again_when: tuple[str, ...] = AGAIN_WHEN
    disclaimer: str = html.DISCLAIMER


def inventory_of(bundle: Bundle, software: str, runtime: str, site_threshold: float | None) -> Inventory:
    """What a bundle says of itself, and what runs it."""
    manifest = bundle.manifest
    return Inventory(
        name=manifest.name,
        version=manifest.version,
        digest=bundle.digest,
        intended_use=manifest.intended_use,
        training_data=manifest.training_data,
        lineage=manifest.lineage,
        software=software,
        runtime=runtime,
        operating_point=manifest.operating_point.threshold if site_threshold is None else site_threshold,
        operating_point_of="bundle" if site_threshold is None else "site",
    )


def record_of(
    inventory: Inventory,
    cases: Cases,
    acceptance: Acceptance,
    subgroups: tuple[Subgroup, ...],
    recalibrated: Recalibrated | None,
    tested_by: str | None,
) -> Record:
    """The record, dated now."""
    now = datetime.now(UTC).replace(microsecond=0)
    return Record(
        created=now,
        tested_by=tested_by,
        inventory=inventory,
        cases=cases,
        acceptance=acceptance,
        subgroups=subgroups,
        recalibrated=recalibrated,
        test_again_by=(now + AGAIN_AFTER).date(),
    )


def write_record(folder: Path, record: Record, pictures: Sequence[tuple[str, bytes]]) -> Path:
    """Write record.json and record.html, which names the digest of the first; returns the first."""
    folder.mkdir(parents=True, exist_ok=True)
    text = record.model_dump_json(indent=1) + "\n"
    (folder / RECORD_FILE).write_text(text, "utf-8")
    digest = f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
    (folder / PAGE_FILE).write_text(_page(record, digest, pictures), "utf-8")
    return folder / RECORD_FILE


def _page(record: Record, digest: str, pictures: Sequence[tuple[str, bytes]]) -> str:
    tested, drawn = record.inventory, ""
    for title, png in pictures:
        drawn += f"<figure>{html.image(png, title)}<figcaption>{escape(title)}</figcaption></figure>"
    parts = [
        f"<h1>Acceptance of {escape(tested.name)} {tested.version}: {record.acceptance.decision}</h1>",
        f"<p><strong>{html.DISCLAIMER}</strong></p>",
        "".join(f'<p class="warning">{escape(text)}</p>' for text in record.cases.warnings),
        html.section("Inventory", _pairs(_inventory(record))),
        html.section("Local acceptance", _checks(record.acceptance.checks)),
        html.section("Subgroups", _subgroups(record.subgroups)),
        html.section("Charts", f'<div class="grid">{drawn}</div>') if drawn else "",
        html.section("When to stop", _stop_rules(record.acceptance.stop_rules)),
        html.section("When to test again", _again(record)),
        html.section(
            "This record", f"<p>record.json: <code>{digest}</code>. A signature stands in record.json.sig.</p>"
        ),
    ]
    return html.page(f"Acceptance of {tested.name} {tested.version}", parts)


def _inventory(record: Record) -> list[tuple[str, str]]:
    tested, cases = record.inventory, record.cases
    made = record.recalibrated
    rows = [
        ("bundle", f"{tested.name} {tested.version} {tested.digest}"),
        *(("lineage", sentence) for sentence in (tested.lineage or Lineage()).sentences()),
        ("intended use", tested.intended_use),
        ("software, runtime", f"{tested.software}, {tested.runtime}"),
        ("operating point", f"{tested.operating_point:.4f} (the {tested.operating_point_of}'s)"),
        ("tested on", f"{record.created:%Y-%m-%d %H:%M} UTC, by {record.tested_by or 'nobody named'}"),
        (
            "cases",
            f"{cases.nodules} nodules of {cases.patients} patients: {cases.suspicious} suspicious, {cases.benign} "
            f"benign, {cases.indeterminate} indeterminate",
        ),
        ("their digests", f"table {cases.table}; all that was read {cases.data}"),
    ]
    if made is not None:
        rows.append(("recalibrated as", f"version {made.version} {made.digest}: {made.change}"))
    return rows


def _checks(checks: Sequence[Check]) -> str:
    classes = {"passed": "yes", "failed": "no"}
    rows = (
        [
            escape(check.name),
            "not measured" if check.found is None else html.value(check.found),
            str(check.n),
            escape(check.claim),
            f'<span class="{classes.get(check.verdict, "")}">{check.verdict}</span>',
            escape(check.meaning),
        ]
        for check in checks
    )
    note = (
        "<p>A check fails where the 95 % interval excludes the claim. Where nothing is wrong, each of the nine still "
        "fails by chance in 2.5 to 5 of a hundred tests: look at what failed before you act on it.</p>"
    )
    heads = ("check", "found [95 % interval]", "nodules", "claim", "", "meaning")
    return note + html.table(heads, rows)


def _subgroups(groups: Sequence[Subgroup]) -> str:
    rows = (
        [
            escape(group.axis),
            escape(group.name),
            f"{group.nodules} / {group.patients} / {group.suspicious}",
            *(html.short(group.figures[name]) if name in group.figures else "" for name in SHOWN),
        ]
        for group in groups
    )
    heads = ("by", "group", "nodules / patients / suspicious", *(name.replace("_", " ") for name in SHOWN))
    note = f"<p>What rests on fewer than {MIN_OF_CLASS} nodules of a class is left out.</p>"
    return f'{note}<div class="wide">{html.table(heads, rows, kind="small")}</div>'


def _stop_rules(rules: Sequence[StopRule]) -> str:
    rows = ([str(rule.of), escape(rule.watch), f"{rule.expected:.1f}", f"{rule.stop_at} or more"] for rule in rules)
    return html.table(("of the next", "count", "expected", "stop at"), rows)


def _again(record: Record) -> str:
    when = "".join(f"<li>{escape(text)}</li>" for text in record.test_again_when)
    return f"<p>By {record.test_again_by:%Y-%m-%d} at the latest, and:</p><ul>{when}</ul>"


def _pairs(rows: Sequence[tuple[str, str]]) -> str:
    return html.table(("", ""), ([escape(name), escape(text)] for name, text in rows))
