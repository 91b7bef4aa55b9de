"""Searches the worklist (PS3.18 11.9): which workitems match, also by attributes of the items of their sequences."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, get_args

from pydicom.datadict import dictionary_VR

from app.api.dicomweb.queries import CONTROLS, MAX_LIMIT, Attributes, count_of, tag_named, value_fits
from app.delivery.attributes import tag_of
from app.delivery.database.workitems import StepState
from app.errors import InvalidParameter

STATE: Final = tag_of("ProcedureStepState")
# Nobody may find out a Transaction UID by asking for it.
NOT_MATCHED: Final = tag_of("TransactionUID")
MOST_MATCHES: Final = 32  # each is looked for in every workitem
MOST_CHARACTERS: Final = 16 << 20  # of an answer: usual workitems have some thousand each
SEPARATOR: Final = "."  # between a sequence and an attribute of its items (PS3.18 8.3.4.1)


@dataclass(frozen=True, slots=True)
class WorklistQuery:
    """Values to match by the tags that lead to an attribute, at most MOST_MATCHES, and the page."""

    matches: Sequence[tuple[tuple[str, ...], str]]
    offset: int
    limit: int

    @classmethod
    def parse(cls, parameters: Iterable[tuple[str, str]]) -> WorklistQuery:
        """Read query parameters; those that name no attribute are ignored (PS3.18 8.3.1). Raises InvalidParameter for
        a page that is no number, and for too many attributes."""
        given = list(parameters)
        controls = {name: value for name, value in given if name in CONTROLS}
        named = [(_path(name), value) for name, value in given if name not in CONTROLS]
        matches = [(path, value) for path, value in named if path and path[-1] != NOT_MATCHED]
        if len(matches) > MOST_MATCHES:
            raise InvalidParameter(
                found="too many attributes to match", expected=f"{MOST_MATCHES}", remedy="Ask for less."
            )
        return cls(matches, count_of(controls, "offset", 0), min(count_of(controls, "limit", MAX_LIMIT), MAX_LIMIT))

    @property
    def state(self) -> str:
        """The state that all matches have; empty where any may have it."""
        return next((value for path, value in self.matches if path == (STATE,) and value in get_args(StepState)), "")

    def page(self, workitems: Iterable[Attributes]) -> tuple[list[str], bool]:
        """The matches that are asked for as JSON, in their order, and whether one answer cannot take them all."""
        page: list[str] = []
        left = MOST_CHARACTERS
        for each in islice(filter(self._is_match, workitems), self.offset, self.offset + self.limit):
            text = json.dumps(each, ensure_ascii=False)
            left -= len(text)
            if page and left < 0:
                return page, True
            page.append(text)
        return page, False

    def _is_match(self, workitem: Attributes) -> bool:
        return all(_any_fits(workitem, path, wanted) for path, wanted in self.matches)


def _path(name: str) -> tuple[str, ...]:
    """The tags of a name; none where one of them is no attribute, or the last is a sequence."""
    tags = [tag_named(part) for part in name.split(SEPARATOR)]
    path = tuple(tag for tag in tags if tag is not None)
    if len(path) < len(tags) or dictionary_VR(int(path[-1], 16)) == "SQ":
        return ()
    return path


def _any_fits(workitem: Attributes, path: Sequence[str], wanted: str) -> bool:
    vr = dictionary_VR(int(path[-1], 16))
    return any(value_fits(value, wanted, vr) for value in list(_values(workitem, path)) or [""])


def _values(attributes: Attributes, path: Sequence[str]) -> Iterator[str]:
    tag, *below = path
    for value in attributes.get(tag, {}).get("Value") or []:
        if below and isinstance(value, dict):
            yield from _values(value, below)
        elif not below:
            yield str(value.get("Alphabetic", "")) if isinstance(value, dict) else str(value)
