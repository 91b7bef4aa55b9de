"""Errors of moving versions of a model while the service runs."""

from __future__ import annotations

from app.errors.base import LungscopeError


class VersionsFixed(LungscopeError, code="versions_fixed"):
    """The operator has named no folder for versions, or the model's version is moved by settings alone."""


class VersionInUse(LungscopeError, code="version_in_use"):
    """The version that judges cannot be taken away: another one must judge first."""


class UnfitVersion(LungscopeError, code="unfit_version"):
    """A bundle that is not what its manifest says, or does not repeat its golden case: it gets no traffic."""
