"""One door: series are sent while processes are killed and destinations fail, and all is waited for and looked at."""

from __future__ import annotations

import math
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from tqdm import tqdm

from benchmarks.doors.destinations import Archive, Destination, Hooks
from benchmarks.doors.moods import Peer
from benchmarks.doors.senders import SENDERS, GivenUp, Sender, Standing
from benchmarks.doors.series import Series
from benchmarks.doors.site import Site
from benchmarks.doors.source import Source
from benchmarks.doors.troubles import START_PATIENCE_S, Round, beside, rounds
from benchmarks.doors.verdict import GOOD, Verdict

PAUSE_S: Final = 0.6  # at most, before a series is sent
STILL_S: Final = 120.0  # without a change of any series: nothing more is waited for
POLL_S: Final = 0.5
FETCHING: Final = ("pull", "worklist")


@dataclass(frozen=True, slots=True)
class Plan:
    """Which door, how many series and kills, of which seed; all pauses `pace` times as long as usual.

    After so many `minutes` no further round is begun: what was sent until then is what is looked at.
    """

    door: str
    series: int
    kills: int
    seed: int
    pace: float = 1.0
    minutes: float = math.inf

    def chunks(self) -> list[range]:
        """The numbers of the series of each round."""
        ends = [self.series * number // self.kills for number in range(self.kills + 1)]
        return [range(*each) for each in pairwise(ends)]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a campaign came to."""

    plan: Plan
    killed: dict[str, int]
    moods: dict[str, int]
    verdicts: Sequence[Verdict]
    resent: dict[str, int]
    repeated: int
    errors: dict[str, int]
    seconds: float

    @property
    def bad(self) -> list[Verdict]:
        """What may not be."""
        return [each for each in self.verdicts if each.kind not in GOOD]

    def written(self) -> dict[str, Any]:
        """As JSON has it: series by what became of them, and those of which it may not be, one by one."""
        kinds = Counter(each.kind for each in self.verdicts)
        return {
            "seed": self.plan.seed,
            "series": len(self.verdicts),
            "kills": self.killed,
            "moods": self.moods,
            "one_result": kinds["result"],
            "stated_failures": [asdict(each) for each in self.verdicts if each.kind == "failure"],
            "replaced": sum(each.replaced > 0 for each in self.verdicts),
            "sent_again_by_clients": self.resent,
            "sent_again_to_destinations": self.repeated,
            "bad": [asdict(each) for each in self.bad],
            "errors_logged": self.errors,
            "seconds": round(self.seconds),
        }


def campaign(plan: Plan, folder: Path) -> Outcome:
    """Run it over an empty folder."""
    every, began = [Series(number) for number in range(plan.series)], time.monotonic()
    destinations: dict[str, Destination] = {"archive": Archive(), "hooks": Hooks()}
    with ExitStack() as stack:
        peers = [stack.enter_context(Peer(name, each.take)) for name, each in destinations.items()]
        source = stack.enter_context(Peer("source", Source(every).answer))
        processes = SENDERS[plan.door].processes
        site = Site(folder, peers[0].url, peers[1].url, source.url, processes)
        suffering = [*peers, source] if plan.door in FETCHING else peers
        stack.callback(site.end)
        site.start(processes)
        sender = SENDERS[plan.door](site)
        troubles = rounds(plan.seed, plan.kills, processes, [each.name for each in suffering], plan.pace)
        with tqdm(total=plan.series, unit="series", desc=plan.door, file=sys.stderr) as bar:
            for number, (trouble, numbers) in enumerate(zip(troubles, plan.chunks(), strict=True)):
                if time.monotonic() > began + 60 * plan.minutes:
                    every, troubles = every[: numbers.start], troubles[:number]
                    break
                with beside(trouble, site, suffering):
                    _send(sender, every[numbers.start : numbers.stop], plan)
                bar.update(len(numbers))
        standings = _settled(site, sender, every)
        verdicts = [Verdict.on(each, standings[each.number], destinations) for each in every]
        repeated = sum(each.repeated for each in destinations.values())
    resent = {"broken": sender.broken, "busy": sender.busy}
    seconds = time.monotonic() - began
    return Outcome(plan, _killed(troubles), _moods(troubles), verdicts, resent, repeated, site.errors(), seconds)


def _send(sender: Sender, every: Sequence[Series], plan: Plan) -> None:
    for series in every:
        time.sleep(plan.pace * random.Random(f"pause of {plan.seed} {series.number}").uniform(0, PAUSE_S))
        try:
            sender.send(series)
        except GivenUp as error:
            sys.stderr.write(f"series {series.number}: {error}\n")


def _settled(site: Site, sender: Sender, every: Sequence[Series]) -> dict[int, Standing]:
    """Where each series stands, once all are settled or nothing has changed for long."""
    site.wait_until_ready(START_PATIENCE_S)
    standings, changed = dict[int, Standing](), time.monotonic()
    asked = every
    while True:
        now = {**standings, **{each.number: sender.standing(each) for each in asked}}
        if now != standings:
            standings, changed = now, time.monotonic()
        left = [each for each in every if not now[each.number].is_settled]
        # What was settled may have been begun anew meanwhile: all are asked again at the end.
        if (not left and asked is every) or time.monotonic() > changed + STILL_S:
            return now
        asked = left or every
        time.sleep(POLL_S)


def _killed(troubles: Sequence[Round]) -> dict[str, int]:
    return dict(Counter(" and ".join(each.kill.of) for each in troubles))


def _moods(troubles: Sequence[Round]) -> dict[str, int]:
    return dict(Counter(f"{spell.peer} {spell.mood}" for each in troubles for spell in each.spells))
