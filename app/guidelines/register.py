"""The guidelines by the names under which clients ask for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from app.guidelines import brock, bts, c_lung_rads, fleischner, lung_rads, mayo
from app.guidelines.assessment import Assessment
from app.guidelines.case import Case

GUIDELINES: Final[dict[str, Callable[[Case], Assessment]]] = {
    each.NAME: each.assess for each in (fleischner, lung_rads, bts, c_lung_rads, brock, mayo)
}
