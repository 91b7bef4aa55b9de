"""One batch: index the archive, judge every series that is open, write parts of the tables as they become whole."""

from __future__ import annotations

import sys
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tqdm import tqdm

from app.batch.archive import Sighting, sightings, sources_of
from app.batch.index import Index, Series
from app.batch.judging import death, failure
from app.batch.names import Names
from app.batch.tables import write_part
from app.batch.workers import Judged, LoadJudge, Workers
from app.errors import StartupError
from app.errors.description import described

MAX_FILES: Final = 5000  # of a series, as of an upload
PART_SERIES: Final = 1000  # of a part: ten million series have 10,000 parts of each table
TRIES: Final = 3  # workers that may end at a series before it counts as a failure


@dataclass(frozen=True, slots=True)
class Plan:
    """What is judged, and where its tables go. `facts` are what may not change between two runs of one batch."""

    source: Path
    out: Path
    workers: int
    names: Names
    facts: Mapping[str, str]
    part_series: int = PART_SERIES


def run_batch(plan: Plan, index: Index, load: LoadJudge) -> None:
    """Judge what the index does not know yet of the archive, until every series is in the tables.

    Raises StartupError, and OSError where tables or index cannot be written; a further run goes on from there.
    """
    require_same(plan, index)
    look_through(plan, index)
    batch = Batch(plan, index)
    batch.write_whole_parts()
    if still_open := index.counts().get(None, 0):
        with Workers(min(plan.workers, still_open), load) as workers:
            batch.judge(workers)


def require_same(plan: Plan, index: Index) -> None:
    """Raise StartupError where the index was begun with other facts: one table holds the judgements of one judge."""
    now = {**plan.facts, "source": str(plan.source), "part_series": str(plan.part_series)}
    begun = index.facts(now)
    if differing := sorted(name for name in now.keys() | begun.keys() if now.get(name) != begun.get(name)):
        raise StartupError(
            found=f"{plan.out}, begun with another {', '.join(differing)}",
            expected="the same archive, models and options as when it was begun",
            remedy="Give another --out.",
        )


def look_through(plan: Plan, index: Index) -> None:
    """Put all series of the archive into the index, once: series that come later want a batch of their own."""
    if index.is_complete:
        return
    with tqdm(unit="file", desc="looking", file=sys.stderr, leave=False) as bar:
        for source in sources_of(plan.source):
            if index.is_walked(source):
                continue
            left_out = 0
            for seen in sightings(source, plan.out):
                bar.update()
                if seen is None:
                    left_out += 1
                else:
                    _take_up(seen, index, plan.names)
            index.walked(source, left_out)
    index.complete()


def _take_up(seen: Sighting, index: Index, names: Names) -> None:
    number = index.add(seen)
    if seen.error is not None:
        code, outcome = failure(Series(number, None, (seen.path,)), *described(seen.error))
        index.finished(number, code, names.of(outcome))


class Batch:
    """The judging of what an index holds."""

    def __init__(self, plan: Plan, index: Index) -> None:
        self._plan, self._index = plan, index

    def judge(self, workers: Workers) -> None:
        """Judge every open series."""
        counts = self._index.counts()
        still_open = counts.pop(None)
        done = sum(counts.values())
        fresh, again = self._index.open_series(MAX_FILES), deque[Series]()
        with tqdm(total=done + still_open, initial=done, unit="series", desc="judged", file=sys.stderr) as bar:
            while still_open:
                for worker in workers.idle:
                    series = again.popleft() if again else next(fresh, None)
                    if series is not None:
                        worker.judge(series)
                for series, judged in workers.news():
                    if self._is_finished(series, judged):
                        still_open -= 1
                        bar.update()
                    else:
                        again.append(series)

    def write_whole_parts(self) -> None:
        """Write the parts whose series are finished, which a run that was killed has left."""
        parts = Counter(self._part_of(number) for number in self._index.unwritten())
        for part in sorted(parts):
            self._write_if_whole(part)

    def _is_finished(self, series: Series, judged: Judged | None) -> bool:
        if judged is None:
            tries = self._index.ended(series)
            if tries < TRIES:
                return False
            judged = death(series, tries)
        code, outcome = judged
        self._index.finished(series.number, code, self._plan.names.of(outcome))
        self._write_if_whole(self._part_of(series.number))
        return True

    def _part_of(self, number: int) -> int:
        return (number - 1) // self._plan.part_series

    def _write_if_whole(self, part: int) -> None:
        first = part * self._plan.part_series + 1
        numbers = range(first, first + self._plan.part_series)
        if self._index.is_whole(numbers):
            write_part(self._plan.out, part, self._index.outcomes(numbers))
            self._index.written(numbers)
