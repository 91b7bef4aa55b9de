"""The shadow: a second version of the classifier judges a sample of what is judged once more.

Nobody is answered with what it says. How often and how far it differs is counted, and nothing else is kept.
"""

from __future__ import annotations

import contextvars
import logging
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from queue import SimpleQueue
from typing import Final, TypeAlias

from app.inference.engine import Engine
from app.inference.model import Model
from app.inference.prediction import Prediction
from app.inference.registry import Models
from app.inference.series import Cancelled
from app.inference.series_lane import SeriesLane
from app.telemetry import Metrics

WAIT_S: Final = 2.0  # for idle room: so long, and no longer, is a picture kept after its answer before it is looked at
# Judges the same image with other models; what it is given last says whether to stop.
Again: TypeAlias = Callable[[Models, Callable[[], bool]], Prediction]
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class IdleRoom:
    """What is left while nobody has a slice or a series judged."""

    engine: Engine
    lane: SeriesLane

    def found(self, seconds: float) -> bool:
        """Wait for it, so long at most; whether it is there."""
        return self.lane.wait_until_idle(seconds) and self.engine.wait_until_idle(seconds)

    def lost(self) -> bool:
        """Whether a series wants it; single slices are let go ahead."""
        self.engine.give_way()
        return len(self.lane) > 0


class Shadow:
    """Has `share` of all judgements, drawn by chance, repeated by the model in `use`, one at a time, in idle room.

    What finds no such room, or comes while another is repeated, is dropped and counted. `begin` is called once in the
    thread that works.
    """

    def __init__(self, metrics: Metrics, share: float, room: IdleRoom, begin: Callable[[], None]) -> None:
        self.share = share
        self._metrics = metrics
        self._room = room
        self._begin = begin
        self._model: Model | None = None
        self._chance = random.Random()  # a sample, no secret
        self._free = threading.Semaphore(1)
        self._errands: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)
        self._stopping = False

    def start(self) -> None:
        """Start the thread; until then nothing is repeated."""
        self._thread.start()

    def use(self, model: Model | None) -> None:
        """Have this model, which is loaded, repeat what is judged from now on; None for none."""
        self._model = model

    def offer(self, judged: Models, prediction: Prediction, again: Again) -> None:
        """Have a judgement repeated if it is drawn and there is room. Never waits, and raises nothing."""
        model = self._model
        if model is None or model.bundle.digest == judged.classifier.bundle.digest:
            return
        versions = str(judged.classifier.manifest.version), str(model.manifest.version)
        if self._chance.random() >= self.share:
            self._metrics.shadow_passed_over(*versions, "not_sampled")
        elif not self._free.acquire(blocking=False):
            self._metrics.shadow_passed_over(*versions, "busy")
        else:
            work = partial(self._repeat, versions, replace(judged, classifier=model), prediction, again)
            self._errands.put(partial(contextvars.copy_context().run, work))

    def close(self) -> None:
        """Stop what is at work at its next batch, and end the thread."""
        self._stopping = True
        self._errands.put(None)
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        self._begin()
        while (errand := self._errands.get()) is not None:
            errand()
            del errand  # it holds the image
            self._free.release()

    def _repeat(self, versions: tuple[str, str], models: Models, prediction: Prediction, again: Again) -> None:
        try:
            if self._stopping or not self._room.found(WAIT_S):
                raise Cancelled
            repeated = again(models, lambda: self._stopping or self._room.lost())
        except Cancelled:
            self._metrics.shadow_passed_over(*versions, "busy")
        # Whatever a version does wrong that nobody is answered with: it costs itself alone.
        except Exception as error:
            logger.error("version %s fails as shadow", versions[1], exc_info=error)
            self._metrics.shadow_passed_over(*versions, "failed")
        else:
            decisions = prediction.decision, repeated.decision
            self._metrics.shadow_compared(*versions, decisions, _difference(prediction, repeated))


def _difference(one: Prediction, other: Prediction) -> float | None:
    if one.probability is None or other.probability is None:
        return None
    return abs(one.probability - other.probability)
