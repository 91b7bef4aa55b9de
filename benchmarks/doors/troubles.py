"""What goes wrong, and when: of a seed, so that it can be asked for again."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from benchmarks.doors.moods import BAD_MOODS, Mood, Peer
from benchmarks.doors.site import Process, Site

KILLED_WITHIN_S: Final = 5.0
AT_THE_START: Final = 0.2  # share of the kills that do not wait until the service is ready
BEGINS_WITHIN_S: Final = 4.0
LASTS_S: Final = (1.0, 6.0)
START_PATIENCE_S: Final = 90.0


@dataclass(frozen=True, slots=True)
class Kill:
    """Of these processes, so many seconds after the service is ready, or after the round began."""

    of: tuple[Process, ...]
    after_s: float
    when_ready: bool


@dataclass(frozen=True, slots=True)
class Spell:
    """A peer in a bad mood for a while, from so many seconds after the service is ready."""

    peer: str
    mood: Mood
    after_s: float
    for_s: float


@dataclass(frozen=True, slots=True)
class Round:
    """What happens beside some of the series."""

    kill: Kill
    spells: tuple[Spell, ...]


def rounds(
    seed: int, number: int, processes: Sequence[Process], peers: Sequence[str], pace: float = 1.0
) -> list[Round]:
    """So many rounds of a seed, each with one kill and a spell of every peer; `pace` times as long as usual."""
    chance = random.Random(f"troubles of {seed}")
    moods = [_moods(chance) for _ in peers]
    return [_round(chance, processes, dict(zip(peers, map(next, moods), strict=True)), pace) for _ in range(number)]


def _moods(chance: random.Random) -> Iterator[Mood]:
    """Every bad mood in turn, in an order that changes."""
    while True:
        yield from chance.sample(BAD_MOODS, len(BAD_MOODS))


def _round(chance: random.Random, processes: Sequence[Process], moods: Mapping[str, Mood], pace: float) -> Round:
    of = tuple(processes) if chance.random() < 0.5 else (chance.choice(processes),)
    kill = Kill(of, pace * chance.uniform(0, KILLED_WITHIN_S), chance.random() >= AT_THE_START)
    spells = (
        Spell(
            peer,
            mood,
            pace * chance.uniform(0, BEGINS_WITHIN_S),
            pace * chance.uniform(*LASTS_S),
        )
        for peer, mood in moods.items()
    )
    return Round(kill, tuple(spells))


@contextmanager
def beside(trouble: Round, site: Site, peers: Sequence[Peer]) -> Iterator[None]:
    """Let all of a round happen beside the block; it has happened afterwards, and what was killed starts again."""
    by_name = {peer.name: peer for peer in peers}
    threads = [threading.Thread(target=_kill, args=(trouble.kill, site))]
    threads += [threading.Thread(target=_suffer, args=(each, by_name[each.peer], site)) for each in trouble.spells]
    for each in threads:
        each.start()
    try:
        yield
    finally:
        for each in threads:
            each.join()


def _kill(kill: Kill, site: Site) -> None:
    if kill.when_ready:
        site.wait_until_ready(START_PATIENCE_S)
    threading.Event().wait(kill.after_s)
    site.kill(kill.of)
    site.start(kill.of)


def _suffer(spell: Spell, peer: Peer, site: Site) -> None:
    site.wait_until_ready(START_PATIENCE_S)
    threading.Event().wait(spell.after_s)
    peer.become(spell.mood)
    threading.Event().wait(spell.for_s)
    peer.become("well")
