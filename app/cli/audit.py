"""`lungscope audit`: verify, search and anchor the audit trail."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from app.audit.anchors import Anchor, read_anchors
from app.audit.verification import ChainReport, matching_lines, verify
from app.cli.exits import OK, SOME_FAILED
from app.errors import MalformedInput, SettingsError
from app.imaging.content_digest import file_digest, written
from app.security.pseudonyms import load_key, pseudonym
from app.settings import Settings
from app.signing import SigningKey, VerifyingKey

SUBJECTS = ("accession", "study", "series", "instance")


def run(options: argparse.Namespace, settings: Settings) -> int:
    """Do what is asked; returns OK, or SOME_FAILED for a trail that was changed, and where nothing is found.

    Raises SettingsError.
    """
    folder = options.folder or settings.audit_dir
    if folder is None or not folder.is_dir():
        raise SettingsError(
            found="no audit trail",
            expected="the folder of one",
            remedy="Give --folder, or set LUNGSCOPE_AUDIT_DIR as for the service.",
        )
    if options.action == "verify":
        return _verify(folder, list(_anchors(options)))
    return _find(folder, options) if options.action == "find" else _anchor(folder, settings)


def _anchors(options: argparse.Namespace) -> Iterator[Anchor]:
    """Those of the file, each signed by the key if one is given; raises SettingsError."""
    if options.anchors is None:
        return
    key = None if options.key is None else VerifyingKey.read(options.key)
    try:
        with options.anchors.open(encoding="utf-8") as file:
            for anchor in read_anchors(file):
                if key is not None and not anchor.is_signed_by(key):
                    raise MalformedInput(
                        found=f"an anchor of {anchor.time} that this key has not signed",
                        expected="anchors as they were printed",
                        remedy="Give those that were stored elsewhere, and the public half of LUNGSCOPE_SIGNING_KEY.",
                    )
                yield anchor
    except MalformedInput as error:
        raise SettingsError(found=error.found, expected=error.expected, remedy=error.remedy) from None


def _verify(folder: Path, anchors: list[Anchor]) -> int:
    reports = verify(folder, anchors)
    for report in reports:
        _print_report(report)
    faults = sum(len(report.faults) for report in reports)
    compared = f", compared with {len(anchors)} anchor(s)" if anchors else "; without anchors a cut end does not show"
    print(f"{sum(report.lines for report in reports)} lines in {len(reports)} chain(s), {faults} fault(s){compared}")
    return SOME_FAILED if faults or not reports else OK


def _print_report(report: ChainReport) -> None:
    for fault in report.faults:
        print(fault)
    for remark in report.remarks:
        print(f"{report.chain}: {remark}")
    if report.lines:
        print(f"{report.chain}: {report.count} lines, the last of {report.last_time}, {report.head}")


def _find(folder: Path, options: argparse.Namespace) -> int:
    wanted = [options.request_id] if options.request_id else []
    named = {kind: value for kind in SUBJECTS if (value := getattr(options, kind))}
    if named:
        key = load_key(folder)
        wanted += [pseudonym(key, kind, value) for kind, value in named.items()]
    if options.image:
        wanted.append(written(file_digest(Path(options.image).read_bytes())))
    if not wanted:
        raise SettingsError(
            found="nothing to find", expected="--accession, --study or another", remedy="See lungscope audit --help."
        )
    found = 0
    for _, line in matching_lines(folder, wanted):
        sys.stdout.write(line.decode("utf-8", "backslashreplace") + "\n")
        found += 1
    print(f"lungscope: {found} line(s)", file=sys.stderr)
    return OK if found else SOME_FAILED


def _anchor(folder: Path, settings: Settings) -> int:
    key = None if settings.signing_key is None else SigningKey.read(settings.signing_key)
    for report in verify(folder):
        if report.count:
            print(Anchor.of(report.chain, report.count, report.head, time.time(), key).text())
    return OK
