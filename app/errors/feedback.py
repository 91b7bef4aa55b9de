"""Errors of verdicts on what was judged."""

from __future__ import annotations

from app.errors.base import LungscopeError


class FeedbackOff(LungscopeError, code="feedback_off"):
    """The operator has not named a folder for verdicts."""


class UnknownJudgement(LungscopeError, code="unknown_judgement"):
    """Nothing was judged under that id, or it is no longer remembered."""
