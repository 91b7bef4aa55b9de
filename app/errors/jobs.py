"""Errors about jobs: series that are judged later, and asked about by an id."""

from __future__ import annotations

from app.errors.base import LungscopeError


class JobsOff(LungscopeError, code="jobs_off"):
    """The operator has not named a folder in which jobs could wait."""


class PullOff(LungscopeError, code="pull_off"):
    """The operator has not named an archive from which series are fetched."""


class UnknownJob(LungscopeError, code="unknown_job"):
    """No job has that id, or none any more."""


class JobNotCancellable(LungscopeError, code="job_not_cancellable"):
    """It is too late to cancel the job, or others sent instances of its series."""
