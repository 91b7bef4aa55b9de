"""Lines of newline-delimited JSON: the progress of a series, then its result or a problem."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Final

MEDIA_TYPE: Final = "application/x-ndjson"
MIN_INTERVAL_S: Final = 0.1  # a screen shows no more, and a slow client must not be flooded


class Throttle:
    """Passes on the first and the last step of each stage, and a step between at most every MIN_INTERVAL_S."""

    def __init__(self, passed_on: Callable[[str, int, int], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._passed_on = passed_on
        self._clock = clock
        self._stage: str | None = None
        self._next = 0.0

    def __call__(self, stage: str, done: int, of: int) -> None:
        """Tell that `done` of `of` steps of `stage` are done."""
        now = self._clock()
        if stage == self._stage and done < of and now < self._next:
            return
        self._stage, self._next = stage, now + MIN_INTERVAL_S
        self._passed_on(stage, done, of)


def wanted(accept: str | None) -> bool:
    """Whether the client's Accept names the type of events; a wildcard does not."""
    for entry in (accept or "").split(","):
        kind, *parameters = (text.strip().lower() for text in entry.split(";"))
        if kind == MEDIA_TYPE and not any(_refuses(parameter) for parameter in parameters):
            return True
    return False


def line(event: str, content: Mapping[str, object]) -> bytes:
    """One event as a line of JSON."""
    return json.dumps({"event": event, **content}, ensure_ascii=False).encode() + b"\n"


def result_line(answer: bytes) -> bytes:
    """The last line, from an answer in JSON."""
    return b'{"event": "result", ' + answer[1:] + b"\n"


def progress_line(stage: str, done: int, of: int) -> bytes:
    """A line that says how far one stage is."""
    return line("progress", {"stage": stage, "done": done, "of": of})


def _refuses(parameter: str) -> bool:
    name, _, value = parameter.partition("=")
    return name.strip() == "q" and value.strip().strip("0").strip(".") == ""
