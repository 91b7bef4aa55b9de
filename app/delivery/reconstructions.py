"""One reconstruction of each study is judged: the best of those that are there when the first of them is complete."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from app.delivery.database.store import ResultStore
from app.delivery.spool.spool import Spool
from app.errors import OtherReconstruction

# What is smaller of the series that is rather judged, from its files; None for one that will not be judged.
Rank: TypeAlias = Callable[[Sequence[Path]], tuple[float, ...] | None]


@dataclass(frozen=True, slots=True)
class OnePerStudy:
    """Chooses among the series of a study. A series that waits for a better one is judged after all when that one turns
    out to be unfit; one that comes when another has been judged is left out."""

    spool: Spool
    store: ResultStore
    rank: Rank
    _ranks: dict[str, tuple[int, tuple[float, ...] | None]] = field(default_factory=dict)

    def may_take(self, series: Path) -> bool:
        """Whether no better series of its study waits, and none is being judged; the caller holds the spool's gate."""
        others, places = self.store.others_of_study(series.name), self.spool.places()
        here = {name: places[name] for name in others if name in places}
        if "judging" in here.values():
            return False
        own = self._rank(series)
        if own is None or self._has_another(series.name):
            return True
        ranks = {name: self._rank(self.spool.series / name) for name in here}
        return not any(rank is not None and (rank, name) < (own, series.name) for name, rank in ranks.items())

    def is_spare(self, name: str, files: Sequence[Path]) -> bool:
        """Whether a series, which would be judged, is left out for another one of its study that has been."""
        return self._has_another(name) and self.rank(files) is not None

    def _has_another(self, name: str) -> bool:
        """Whether another series of the study has been judged, and this one has not."""
        if self._is_judged(name):
            return False
        return any(self._is_judged(other) for other in self.store.others_of_study(name))

    def _is_judged(self, name: str) -> bool:
        """Whether a report on what was found in it stands."""
        known = self.store.known(name)
        return known is not None and known.judged

    def _rank(self, series: Path) -> tuple[float, ...] | None:
        """The rank of a waiting series; it is read again when instances have come."""
        try:
            changed = series.stat().st_mtime_ns
            if series.name not in self._ranks or self._ranks[series.name][0] != changed:
                files = sorted(path for path in series.iterdir() if not path.name.startswith("."))
                self._forget_gone()
                self._ranks[series.name] = changed, self.rank(files)
        except FileNotFoundError:
            return None
        return self._ranks[series.name][1]

    def _forget_gone(self) -> None:
        for name in self._ranks.keys() - self.spool.places().keys():
            del self._ranks[name]


def another_judged() -> OtherReconstruction:
    """What is said of a series that is left out for another one."""
    return OtherReconstruction(
        found="a study of which another reconstruction has been judged",
        expected="one reconstruction of each study",
        remedy="Set one_per_study to false in LUNGSCOPE_RULES to have each judged.",
    )
