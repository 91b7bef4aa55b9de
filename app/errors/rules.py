"""Why the operator's rules have a series left out that came in."""

from __future__ import annotations

from app.errors.base import LungscopeError


class LeftOutByRules(LungscopeError, code="left_out_by_rules"):
    """A series that came in, and that the operator's rules leave out."""


class OtherReconstruction(LeftOutByRules, code="other_reconstruction"):
    """Another reconstruction of the same study has been judged."""
