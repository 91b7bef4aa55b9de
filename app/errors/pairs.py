"""Errors of two series that are to be compared."""

from __future__ import annotations

from app.errors.base import InputError


class UnfitPair(InputError):
    """What is no two series to be compared, although each file may be read."""


class SeriesMissing(UnfitPair, code="two_series_expected"):
    """A form without files in one of the two parts for series, or with files in another."""


class DifferentPatients(UnfitPair, code="different_patients"):
    """Two series to be compared whose headers contradict each other about the patient."""


class PriorAfterCurrent(UnfitPair, code="prior_after_current"):
    """A prior series that is later than the current one."""
