"""The audit trail, its collector and the notary, as the settings want them."""

from __future__ import annotations

import os
import socket
from functools import partial

from app.audit.chain import ChainLimits
from app.audit.forwarding import Forwarding
from app.audit.receipts import Notary
from app.audit.syslog import Collector, Header, SyslogSender
from app.audit.trail import AuditTrail, TrailOptions
from app.inference.registry import ModelRegistry
from app.judgement.conditions import conditions_of
from app.judgement.records import Records
from app.settings import MEGABYTE, Settings
from app.signing import SigningKey
from app.telemetry import Metrics


def records_of(settings: Settings, registry: ModelRegistry, metrics: Metrics) -> Records:
    """What is kept of each request; raises SettingsError for a folder, key or collector that cannot be used."""
    key = None if settings.signing_key is None else SigningKey.read(settings.signing_key)
    trail = _trail(settings, key, metrics)
    notary = None if key is None else Notary(key, partial(conditions_of, registry))
    return Records(trail, notary, None if trail is None else _forwarding(settings, trail, metrics))


def _trail(settings: Settings, key: SigningKey | None, metrics: Metrics) -> AuditTrail | None:
    if settings.audit_dir is None:
        return None
    limits = ChainLimits(settings.audit_file_mb * MEGABYTE, settings.audit_days)
    options = TrailOptions(limits, settings.audit_when_full, settings.audit_anchors, key)
    return AuditTrail.at(settings.audit_dir, options, metrics.audit_told)


def _forwarding(settings: Settings, trail: AuditTrail, metrics: Metrics) -> Forwarding | None:
    if settings.audit_syslog is None:
        return None
    collector = Collector.parse(settings.audit_syslog, settings.ca_file, settings.audit_syslog_certificate)
    header = Header(socket.gethostname(), str(os.getpid()))
    sender = SyslogSender(collector)
    return Forwarding(lambda: trail.chain, sender, header, settings.audit_syslog_format, metrics.audit_forwarded.inc)
