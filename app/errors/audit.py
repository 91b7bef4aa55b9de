"""Errors of the audit trail."""

from __future__ import annotations

from app.errors.base import Unavailable


class AuditFull(Unavailable, code="audit_full"):
    """No room on the disk that holds the audit trail, and what happens must be on record."""


class AuditUnavailable(Unavailable, code="audit_unavailable"):
    """The audit trail cannot be written now, and what happens must be on record."""
