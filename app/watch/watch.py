"""The watch of a service: notes what is judged, hears verdicts, and says how both agree and what has drifted."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

from app import telemetry
from app.delivery.worker import Repeating
from app.errors import UnknownJudgement
from app.imaging.ct import QualityNote
from app.judgement.judge import Judgement
from app.security.pseudonyms import load_key, pseudonym
from app.watch.drift import Drift, drift_of, reference_in
from app.watch.ledger import FEEDBACK, Case, Heard, Ledger, Source, Verdict, counted
from app.watch.metrics import WatchMetrics
from app.watch.noted import Named, Noted, noted
from app.watch.performance import Agreement, FindingAgreement, findings_agreement, scans_agreement
from app.watch.sketch import FEATURES, Placed, placed

OnDrift = Literal["tell", "warn", "stop"]
DAY_S: Final = 86_400
WAITING: Final = 10_000  # judgements in memory while the disk cannot be written: some 10 MB
LOOK_S: Final = 600.0  # between two looks for drift, which takes some milliseconds and is a matter of days
FRESH_S: Final = 30.0  # for which figures are kept: Prometheus asks every worker every 15 s
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """For how many days judgements are remembered, how many at most, and what follows when something has drifted."""

    days: int = 730
    most: int = 200_000
    on_drift: OnDrift = "tell"


@dataclass(frozen=True, slots=True)
class Performance:
    """Answers beside verdicts."""

    findings: FindingAgreement
    scans: Agreement


class Watch:
    """The watch over one service, of which each worker has one on the same folder.

    Safe among threads. What is noted is written within a second, by a thread; `digest` names the bundle that judges.
    """

    def __init__(
        self,
        folder: Path,
        options: WatchOptions,
        digest: Callable[[], str],
        metrics: WatchMetrics,
        clock: Callable[[], float] = time.time,
        database: str | None = None,
    ) -> None:
        """The database is in the folder, or at an address. Raises SettingsError for one, or a key, that cannot be
        used."""
        self.ledger = Ledger(folder / FEEDBACK, database)
        self.options = options
        self._digest, self._metrics, self._clock = digest, metrics, clock
        key = load_key(folder)
        self._named: Named = lambda kind, value: pseudonym(key, kind, value)
        self._waiting: deque[tuple[str, list[Noted], list[Placed]]] = deque()
        self._writing = threading.Lock()
        self._performance: tuple[float, Performance] | None = None
        self._looked_at = -math.inf
        self.drifts: tuple[Drift, ...] = ()
        self._thread = Repeating("watch", self._step)

    @property
    def today(self) -> int:
        """The day since 1970, in UTC."""
        return int(self._clock() // DAY_S)

    @property
    def drifted(self) -> tuple[Drift, ...]:
        """What has drifted."""
        return tuple(drift for drift in self.drifts if drift.state == "drifted")

    @property
    def stops(self) -> bool:
        """Whether the service may get no traffic because something has drifted."""
        return self.options.on_drift == "stop" and bool(self.drifted)

    def start(self) -> None:
        """Begin to write what is noted."""
        self._thread.start()

    def close(self) -> None:
        """Write what is noted, and end."""
        self._thread.stop()
        self._thread.join()
        try:
            self.write()
        except Exception as error:  # as the thread does: nothing more can be done about it
            logger.error("the last judgements could not be noted", exc_info=error)

    def noted(self, judgement: Judgement) -> Judgement:
        """Note a judgement of the request at work; the same judgement, with a warning where the operator wants one."""
        entry = noted(judgement, telemetry.request_id.get(), self._named)
        if len(self._waiting) >= WAITING:
            self._metrics.unwritten.inc()
        else:
            self._waiting.append((judgement.bundle.digest, entry, placed(judgement)))
        if self.options.on_drift != "warn" or not (drifted := self.drifted):
            return judgement
        return replace(judgement, warnings=tuple(map(_warning, drifted)))

    def hear(self, kind: str, known_by: str, source: Source, verdict: Verdict | None) -> Heard:
        """Keep a verdict on what is known by an id of this kind (`uid`, `request`), or take it back; raises
        UnknownJudgement, StorageFull and StorageUnavailable."""
        with self.ledger.watch.guard():
            self.write()
            heard = self.ledger.hear(self._named(kind, known_by), source, verdict, day=self.today)
        if heard is None:
            raise UnknownJudgement(
                found="an id under which nothing is remembered",
                expected=f"one that an answer of the last {self.options.days} days has",
                remedy="Send the ids as the answer has them, a second after it or later; what is remembered is bounded "
                "by LUNGSCOPE_FEEDBACK_DAYS and LUNGSCOPE_FEEDBACK_FINDINGS.",
            )
        self._performance = None
        return heard

    def performance(self) -> Performance:
        """How the answers of the bundle that judges agree with verdicts on them; raises OSError and sqlite3.Error."""
        if self._performance is None or self._clock() - self._performance[0] > FRESH_S:
            cases, judged = self.cases(), self.ledger.judged(self._digest())
            found = Performance(
                findings_agreement(cases, judged.get("finding", 0)), scans_agreement(cases, judged.get("scan", 0))
            )
            self._performance = (self._clock(), found)
        return self._performance[1]

    def cases(self) -> list[Case]:
        """All verdicts on answers of the bundle that judges; raises OSError and sqlite3.Error."""
        return self.ledger.cases(self._digest())

    def write(self) -> None:
        """Write what was noted; raises OSError and sqlite3.Error, and keeps it then."""
        with self._writing:
            batch = [self._waiting.popleft() for _ in range(len(self._waiting))]
            if not batch:
                return
            day = self.today
            counts = counted(((digest, bins) for digest, _, bins in batch), day)
            try:
                self.ledger.note([each for _, entries, _ in batch for each in entries], counts, day=day)
            except BaseException:
                self._waiting.extendleft(reversed(batch))
                raise

    def look(self) -> tuple[Drift, ...]:
        """Look for drift, and forget what is too old or too much; raises OSError and sqlite3.Error."""
        self.ledger.forget(before=self.today - self.options.days, most=self.options.most)
        before = {drift.feature.name for drift in self.drifted}
        self.drifts = tuple(self._drift(name) for name in FEATURES)
        for drift in self.drifts:
            self._metrics.psi.labels(drift.feature.name).set(math.nan if drift.psi is None else drift.psi)
            self._metrics.drifted.labels(drift.feature.name).set(int(drift.state == "drifted"))
            if drift.state == "drifted" and drift.feature.name not in before:
                logger.warning("%s", described(drift))
        return self.drifts

    def _drift(self, name: str) -> Drift:
        digest, feature, today = self._digest(), FEATURES[name], self.today
        reference = self.ledger.reference(digest, name)
        days = self.ledger.days(digest, name, since=-1 if reference is None else reference.until)
        if reference is None and (reference := reference_in(days, today)) is not None:
            self.ledger.keep_reference(digest, name, reference)
        return drift_of(feature, reference, days, today)

    def _step(self) -> bool:
        self.write()
        if self._clock() - self._looked_at >= LOOK_S:
            self.look()
            self._looked_at = self._clock()
        return False


def described(drift: Drift) -> str:
    """What is said of a feature that has drifted."""
    feature, index = drift.feature, "" if drift.psi is None else f" (index {drift.psi:.2f}, bound {drift.bound:.2f})"
    return f"the {feature.side} has drifted: {feature.name} of the last {drift.window} values is not as it was{index}"


def _warning(drift: Drift) -> QualityNote:
    message = described(drift)
    sentence = f"{message[0].upper()}{message[1:]}."
    if drift.feature.side == "input":
        return QualityNote("input_drifted", "warning", sentence)
    return QualityNote("output_drifted", "warning", sentence)
